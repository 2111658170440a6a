from __future__ import annotations

from torch import Tensor

from tests.pipeline.normalizers.formulas import common
from tests.pipeline.normalizers.formulas.common import Buffers, State


def batch_renorm(
    inputs: Tensor,
    state: State,
    *,
    r_max: float = 3.0,
    d_max: float = 5.0,
    relax_from: int = 5000,
    r_max_at: int = 40_000,
    d_max_at: int = 25_000,
    eps: float = 1e-5,
    momentum: float = 0.01,
    affine: bool = True,
) -> tuple[Tensor, Buffers]:
    prefix = "0." if affine else ""
    before = {key.removeprefix(prefix): value for key, value in state.buffers.items()}
    mean, std = before["running_mean"], before["running_std"]
    after = {key: value.clone() for key, value in before.items()}
    if state.training:
        after |= {"steps": before["steps"] + 1, "used_mean": mean, "used_std": std}
    step = after["steps"].item()
    r_limit = _line(step, relax_from, 1, r_max_at, r_max)
    d_limit = _line(step, relax_from, 0, d_max_at, d_max)

    def one(c: int, values: Tensor) -> Tensor:
        if not state.training:
            return (values - mean[c]) / std[c]
        m = values.numel()
        of_batch = values.sum() / m
        deviation = (((values - of_batch) ** 2).sum() / m + eps).sqrt()
        after["running_mean"][c] = (1 - momentum) * mean[c] + momentum * of_batch.detach()
        after["running_std"][c] = (1 - momentum) * std[c] + momentum * deviation.detach()
        r = min(max((deviation / std[c]).item(), 1 / r_limit), r_limit)
        d = min(max(((of_batch - mean[c]) / std[c]).item(), -d_limit), d_limit)
        return (values - of_batch) / deviation * r + d

    outputs = common.each_channel(inputs, one)
    if affine:
        outputs = common.affine(outputs, state.parameters["1.weight"], state.parameters["1.bias"])
    return outputs, {f"{prefix}{key}": value for key, value in after.items()}


def _line(step: float, start: int, low: float, end: int, high: float) -> float:
    if step <= start:
        return low
    return high if step >= end else low + (high - low) * (step - start) / (end - start)
