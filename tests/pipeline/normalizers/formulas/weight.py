from __future__ import annotations

import torch
from torch import Tensor

from tests.pipeline.normalizers.formulas.common import standardized


def weight(parameters: dict[str, Tensor]) -> Tensor:
    magnitudes = parameters["parametrizations.weight.original0"]
    directions = parameters["parametrizations.weight.original1"]
    units = [g * v / (v**2).sum().sqrt() for g, v in zip(magnitudes, directions, strict=True)]
    return torch.stack(units)


def weight_standardization(parameters: dict[str, Tensor], *, eps: float = 1e-5) -> Tensor:
    raw = parameters["parametrizations.weight.original"]
    return torch.stack([standardized(unit, eps) for unit in raw])
