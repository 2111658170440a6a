"""Initial weights, paired: for one seed they are bitwise the same under every normalizer.

Every weight layer draws on the CPU, in float32, from its own generator, so neither the device nor
what a normalizer adds to the network changes a draw.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from pipeline.architectures import Network, Table
from pipeline.data import Dataset
from pipeline.normalizers import Normalizer
from pipeline.probes._view import preserve_state
from pipeline.seeds import derive
from pipeline.training.batches import probe_batch

Scheme = Literal["glorot", "he"]
WeightLayer = nn.Conv2d | nn.Linear
_CALIBRATION = 128
"""Samples of the batch that a data-dependent initialization sees."""


def initialize(network: Network, norm: Normalizer, scheme: Scheme, seed: int) -> None:
    """Draw the weight of every weight layer, set its bias to zero, then let the normalizer act.

    - glorot: U(−a, a) with a = √(6 / (fan_in + fan_out)) (Glorot & Bengio 2010, gain 1).
    - he: N(0, 2 / fan_in) (He et al. 2015).

    Under a weight normalizer the *effective* weight is the drawn one where the normalizer can
    produce it (weight normalization); where it cannot (weight standardization), the raw weight is.
    Tables that are drawn come from N(0, std²). The normalizers' own parameters keep their modules'
    defaults.
    """
    for index, layer in enumerate(network.weight_layers(), 1):
        module = cast(WeightLayer, layer.module)
        _assign(module, _draw(module.weight.shape, scheme, derive(seed, "weights", index)))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    for name, table in network.named_modules():
        if isinstance(table, Table) and table.std is not None:
            _fill(table, derive(seed, "table", name))
    norm.initialize(network)


@torch.no_grad()
def calibrate(network: Network, norm: Normalizer, dataset: Dataset) -> None:
    """Let the normalizer set by data what it sets by data, on the fixed probe batch.

    Args:
        network: initialized, on the dataset's device.
        norm: the network's.
        dataset: whose probe batch of 128 samples, or of all there are, is used.
    """
    batch = probe_batch(dataset, min(_CALIBRATION, len(dataset.train.targets)))
    with preserve_state(network):
        norm.calibrate(network, batch.inputs)


def _draw(shape: torch.Size, scheme: Scheme, seed: int) -> Tensor:
    generator = torch.Generator("cpu").manual_seed(seed)
    weight = torch.empty(shape, dtype=torch.float32, device="cpu")
    if scheme == "glorot":
        return nn.init.xavier_uniform_(weight, generator=generator)
    return nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)


@torch.no_grad()
def _fill(table: Table, seed: int) -> None:
    """Draw a table; its place in the network, and so its name, is the same for all normalizers."""
    generator = torch.Generator("cpu").manual_seed(seed)
    values = torch.empty(table.value.shape, dtype=torch.float32, device="cpu")
    table.value.copy_(nn.init.normal_(values, std=table.std or 0.0, generator=generator))


@torch.no_grad()
def _assign(module: WeightLayer, weight: Tensor) -> None:
    """Set a weight; a reparametrized one through the right inverse of its parametrization."""
    if parametrize.is_parametrized(module, "weight"):
        cast(nn.Module, module).weight = weight.to(module.weight)
    else:
        module.weight.copy_(weight)
