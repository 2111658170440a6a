"""Batch normalization by the batch's own statistics, whose second derivatives are few passes."""

from __future__ import annotations

from torch import Tensor

from pipeline.normalizers._ops.standardize import standardized


def normalization(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:
    """`torch.nn.functional.batch_norm` of (N, C, …); None where running statistics take part.

    torch differentiates the backward pass by some thirty passes over the maps; here it is two
    reductions and two sums.
    """
    del running_var, momentum  # go with running_mean
    if not training or running_mean is not None:
        return None
    return standardized(input, weight, bias, eps)[0]
