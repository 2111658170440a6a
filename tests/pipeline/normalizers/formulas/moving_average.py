"""Both subtract of a gradient what their papers say: a hook on z = x/s, s a constant, does it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from tests.pipeline.normalizers.formulas import common
from tests.pipeline.normalizers.formulas.common import Buffers, State


def moving_average_batch(
    inputs: Tensor,
    state: State,
    *,
    window: int = 16,
    warmup: int = 100,
    r_max: float = 5.0,
    r_from: int = 1000,
    eps: float = 1e-5,
    momentum: float = 0.02,
    affine: bool = True,
) -> tuple[Tensor, Buffers]:
    prefix, before, after = _buffers(state, ("square",), affine)
    running = before["running_square"]
    step = int(after["steps"].item())
    place, warm = step % window, step <= max(window, warmup)

    def one(c: int, values: Tensor) -> Tensor:
        if not state.training:
            return values / (running[c] + eps).sqrt()
        m = values.numel()
        newest = (values.detach() ** 2).sum() / m
        after["squares"][place, c] = newest
        square = newest if warm else after["squares"][:, c].sum() / window
        after["running_square"][c] = (1 - momentum) * running[c] + momentum * square
        ratio = ((square + eps) / (running[c] + eps)).sqrt().item()
        ratio = min(max(ratio, 1 / r_max), r_max) if step > max(r_from, window, warmup) else 1.0

        def coefficient(g: Tensor, z: Tensor) -> Tensor:
            of_batch = (g * z).sum() / m
            past = [before["gradients"][p, c] for p in range(window) if p != place]
            return of_batch if warm else (sum(past) + of_batch) / window

        return ratio * _divided(values, (square + eps).sqrt(), coefficient)

    return _finished(common.each_channel(inputs, one), state, prefix, after)


def power(
    inputs: Tensor,
    state: State,
    *,
    warmup: int = 100,
    eps: float = 1e-5,
    momentum: float = 0.1,
    backward_momentum: float = 0.1,
    affine: bool = True,
) -> tuple[Tensor, Buffers]:
    del backward_momentum
    prefix, before, after = _buffers(state, ("square", "gradient"), affine)
    running, nu = before["running_square"], before["running_gradient"]
    step = after["steps"].item()

    def one(c: int, values: Tensor) -> Tensor:
        if not state.training:
            return values / (running[c] + eps).sqrt()
        newest = (values.detach() ** 2).sum() / values.numel()
        after["running_square"][c] = (1 - momentum) * running[c] + momentum * newest
        square = newest if step <= warmup else running[c]
        return _divided(values, (square + eps).sqrt(), lambda g, z: nu[c])

    return _finished(common.each_channel(inputs, one), state, prefix, after)


def _divided(
    values: Tensor, deviation: Tensor, coefficient: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    outputs = values / deviation
    z = outputs.detach()
    if outputs.requires_grad:
        outputs.register_hook(lambda g: g - coefficient(g, z) * z)
    return outputs


def _buffers(state: State, averages: tuple[str, ...], affine: bool) -> tuple[str, Buffers, Buffers]:
    prefix = "0." if affine else ""
    before = {key.removeprefix(prefix): value for key, value in state.buffers.items()}
    after = {key: value.clone() for key, value in before.items()}
    if state.training:
        after["steps"] += 1
        after |= {f"used_{name}": before[f"running_{name}"] for name in averages}
    return prefix, before, after


def _finished(outputs: Tensor, state: State, prefix: str, after: Buffers) -> tuple[Tensor, Buffers]:
    if prefix:
        outputs = common.affine(outputs, state.parameters["1.weight"], state.parameters["1.bias"])
    return outputs, {f"{prefix}{key}": value for key, value in after.items()}
