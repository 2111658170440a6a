"""Slow, obvious twins of all optimizers: what they make of one parameter, in float64.

A twin takes the start, the gradients of all steps, their rates, the weight decay, and options.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

Twin = Callable[..., Tensor]


def sgd(
    theta: Tensor,
    gradients: Sequence[Tensor],
    rates: Sequence[float],
    decay: float,
    *,
    momentum: float = 0.0,
    nesterov: bool = False,
) -> Tensor:
    """Sutskever et al., ICML 2013, as torch writes it: v ← μ·v + g; θ ← θ − η·v."""
    velocity = torch.zeros_like(theta)
    for given, rate in zip(gradients, rates, strict=True):
        gradient = given + decay * theta
        velocity = momentum * velocity + gradient
        ahead = gradient + momentum * velocity if nesterov else velocity
        theta = theta - rate * ahead
    return theta


def _adam(
    theta: Tensor,
    gradients: Sequence[Tensor],
    rates: Sequence[float],
    decay: float,
    *,
    decoupled: bool,
    betas: Sequence[float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> Tensor:
    first = second = torch.zeros_like(theta)
    for t, (given, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        gradient = given if decoupled else given + decay * theta
        theta = theta - rate * decay * theta if decoupled else theta
        first = betas[0] * first + (1 - betas[0]) * gradient
        second = betas[1] * second + (1 - betas[1]) * gradient**2
        mean, square = first / (1 - betas[0] ** t), second / (1 - betas[1] ** t)
        theta = theta - rate * mean / (square.sqrt() + eps)
    return theta


adam = partial(_adam, decoupled=False)
"""Kingma & Ba, ICLR 2015, algorithm 1, on the loss with an L2 penalty."""
adamw = partial(_adam, decoupled=True)
"""Loshchilov & Hutter, ICLR 2019, algorithm 2."""


def lion(
    theta: Tensor,
    gradients: Sequence[Tensor],
    rates: Sequence[float],
    decay: float,
    *,
    betas: Sequence[float] = (0.9, 0.99),
) -> Tensor:
    """Chen et al., NeurIPS 2023, algorithm 2."""
    mean = torch.zeros_like(theta)
    for gradient, rate in zip(gradients, rates, strict=True):
        between = betas[0] * mean + (1 - betas[0]) * gradient
        theta = theta - rate * (between.sign() + decay * theta)
        mean = betas[1] * mean + (1 - betas[1]) * gradient
    return theta


_ADJUST: dict[str, Callable[[int, int], float]] = {
    "match_rms_adamw": lambda a, b: 0.2 * math.sqrt(max(a, b)),
    "original": lambda a, b: math.sqrt(max(1, a / b)),
    "spectral_unclamped": lambda a, b: math.sqrt(a / b),
}


def muon(
    theta: Tensor,
    gradients: Sequence[Tensor],
    rates: Sequence[float],
    decay: float,
    *,
    momentum: float = 0.95,
    nesterov: bool = True,
    iterations: int = 5,
    adjust: str = "match_rms_adamw",
    adamw_scale: float = 1.0,
) -> Tensor:
    """Jordan et al., 2024; the factors of the rate: Liu et al., arXiv 2502.16982, 2025.

    The iteration's quintic is applied to the singular values. A vector: AdamW.
    """
    if theta.ndim < 2:
        return adamw(theta, gradients, [adamw_scale * rate for rate in rates], decay)
    shape = theta.shape
    theta = theta.flatten(1)
    mean = torch.zeros_like(theta)
    for given, rate in zip(gradients, rates, strict=True):
        gradient = given.flatten(1)
        mean = momentum * mean + (1 - momentum) * gradient
        update = (1 - momentum) * gradient + momentum * mean if nesterov else mean
        left, values, right = torch.linalg.svd(update, full_matrices=False)
        values = values / values.norm()
        for _ in range(iterations):
            values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
        orthogonal = left @ values.diag() @ right
        factor = _ADJUST[adjust](*theta.shape)
        theta = (1 - rate * decay) * theta - rate * factor * orthogonal
    return theta.reshape(shape)


def schedule_free(
    theta: Tensor,
    gradients: Sequence[Tensor],
    rates: Sequence[float],
    decay: float,
    *,
    base: str = "sgd",
    beta: float = 0.9,
    second: float = 0.999,
    eps: float = 1e-8,
) -> Tensor:
    """Defazio et al., NeurIPS 2024, with averaging weights of the squared largest rate: y."""
    z = x = theta
    square, total, largest = torch.zeros_like(theta), 0.0, 0.0
    for t, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        y = (1 - beta) * z + beta * x
        step = gradient
        if base == "adamw":
            square = second * square + (1 - second) * gradient**2
            step = gradient / ((square / (1 - second**t)).sqrt() + eps)
        largest = max(largest, rate)
        total += largest**2
        z = z - rate * (step + decay * y)
        x = x + largest**2 / total * (z - x)
    return (1 - beta) * z + beta * x


TWINS: dict[str, Twin] = {
    "adam": adam,
    "adamw": adamw,
    "lion": lion,
    "muon": muon,
    "schedule_free": schedule_free,
    "sgd": sgd,
}
