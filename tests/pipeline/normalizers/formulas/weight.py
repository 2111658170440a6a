from __future__ import annotations

import torch
from torch import Tensor

from tests.pipeline.normalizers.formulas.common import Buffers, State, standardized

RAW = "parametrizations.weight.original"


def weight(state: State) -> tuple[Tensor, Buffers]:
    magnitudes, directions = state.parameters[f"{RAW}0"], state.parameters[f"{RAW}1"]
    units = [g * v / (v**2).sum().sqrt() for g, v in zip(magnitudes, directions, strict=True)]
    return torch.stack(units), {}


def centered_weight_norm(state: State) -> tuple[Tensor, Buffers]:
    magnitudes, raw = state.parameters[f"{RAW}0"], state.parameters[f"{RAW}1"]
    centred = torch.stack([unit - unit.sum() / unit.numel() for unit in raw])
    return weight(State({f"{RAW}0": magnitudes, f"{RAW}1": centred}, {}, state.training, 0))


def weight_standardization(state: State, *, eps: float = 1e-5) -> tuple[Tensor, Buffers]:
    return torch.stack([standardized(unit, eps) for unit in state.parameters[RAW]]), {}


def scaled_weight_standardization(
    state: State,
    *,
    gamma: float = (2 / (1 - 1 / torch.pi)) ** 0.5,
    learned_gain: bool = True,
    eps: float = 1e-4,
) -> tuple[Tensor, Buffers]:
    raw = state.parameters[f"{RAW}0" if learned_gain else RAW]
    gains = state.parameters[f"{RAW}1"] if learned_gain else raw.new_ones(len(raw))

    def one(unit: Tensor, gain: Tensor) -> Tensor:
        n = unit.numel()
        variance = ((unit - unit.sum() / n) ** 2).sum() / n
        floored = n * variance if n * variance > eps else raw.new_tensor(eps)
        return gamma * gain * (unit - unit.sum() / n) / floored.sqrt()

    return torch.stack([one(unit, gain) for unit, gain in zip(raw, gains, strict=True)]), {}


def spectral(state: State, *, iterations: int = 1) -> tuple[Tensor, Buffers]:
    raw = state.parameters[RAW]
    names = [f"parametrizations.weight.0.{side}" for side in ("left", "right")]
    left, right = (state.buffers[name].clone() for name in names)
    matrix = raw.reshape(len(raw), -1)
    for _ in range(iterations if state.training else 0):
        right = matrix.detach().T @ left
        right = right / (right**2).sum().sqrt()
        left = matrix.detach() @ right
        left = left / (left**2).sum().sqrt()
    return raw / (left @ matrix @ right), dict(zip(names, (left, right), strict=True))
