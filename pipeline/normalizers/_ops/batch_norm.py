"""The module of batch normalization, by which probes find its layers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.normalizers._ops.common import require_batch, require_features
from pipeline.normalizers._ops.standardize import standardized


class BatchNorm(_BatchNorm):
    """Torch's batch normalization, on (N, C) and on (N, C, H, W) alike.

    In training on a CPU it is `standardized`, whose sums are more exact than those of torch's
    kernels; on other devices, and in evaluation, it is torch's own.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, C) or (N, C, H, W) → the same shape."""
        if not self.training or input.device.type != "cpu":
            return super().forward(input)
        require_batch(input)
        outputs, mean, variance = standardized(input, self.weight, self.bias, self.eps)
        if self.track_running_stats:
            self._average(mean, variance, input.numel() // input.shape[1])
        return outputs

    @torch.no_grad()
    def _average(self, mean: Tensor, variance: Tensor, values: int) -> None:
        """Move the running averages, that of the variance towards the unbiased one."""
        momentum = self.momentum
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * (values / (values - 1)), momentum)

    def _check_input_dim(self, input: Tensor) -> None:
        require_features(input)
