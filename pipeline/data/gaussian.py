"""Gaussian inputs and a random linear map: the data of the deep linear network."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.data import Dataset, Split, Task
from pipeline.data._images import digest
from pipeline.seeds import derive


def gaussian(
    *, samples: int = 1000, dimension: int = 10, variance: float = 0.1, data_seed: int = 0
) -> Dataset:
    """Regression on A·x: Gaussian x, one random matrix A, the paper's deep-linear-network data.

    x ~ N(0, I_d), y = A·x, A_ij i.i.d. N(0, variance); inputs (N, d) and targets (N, d) float32.
    All ``samples`` are for training; validation and test are as many fresh samples each of the same
    law, with the same A. Vectors are not standardized: mean 0 and std 1 are stated, not estimated.

    Args:
        samples: N, of each split.
        dimension: d.
        variance: of the entries of A; the paper does not state it, 1/10 gives its loss scale.
        data_seed: of A and of all x; a trial's own seed changes neither.

    Source: Santurkar et al., How Does Batch Normalization Help Optimization?, 2018, appendix.

    Raises:
        ValueError: if ``samples`` or ``dimension`` is below 1 or ``variance`` below 0.
    """
    if samples < 1 or dimension < 1 or not variance >= 0:
        raise ValueError(
            "gaussian needs samples ≥ 1, dimension ≥ 1 and variance ≥ 0, "
            f"not {samples}, {dimension} and {variance}"
        )

    def normal(rows: int, word: str) -> Tensor:
        generator = torch.Generator().manual_seed(derive(data_seed, "gaussian", word))
        return torch.randn(rows, dimension, generator=generator, dtype=torch.float64)

    matrix = normal(dimension, "matrix") * variance**0.5

    def split(word: str) -> Split:
        inputs = normal(samples, word)
        return Split(inputs.float(), (inputs @ matrix.T).float())

    train, validation, test = (split(word) for word in ("train", "validation", "test"))
    return Dataset(
        task=Task(loss="squared_error", input_shape=(dimension,), outputs=dimension),
        train=train,
        validation=validation,
        test=test,
        mean=torch.zeros(dimension),
        std=torch.ones(dimension),
        digest=digest([train, validation, test]),
    )
