"""The module of batch normalization, by which probes find its layers."""

from __future__ import annotations

from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.normalizers._ops.common import require_features


class BatchNorm(_BatchNorm):
    """Torch's batch normalization, on (N, C) and on (N, C, H, W) alike."""

    def _check_input_dim(self, input: Tensor) -> None:
        require_features(input)
