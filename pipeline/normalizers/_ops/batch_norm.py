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

    exact_batches: int | None = None
    """Batches in the exact average that is being taken; None: statistics are running averages."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C) or (N, C, H, W) → the same shape."""
        if self.exact_batches is not None:
            return self._average_exactly(input, self.exact_batches + 1)
        if not self.training or input.device.type != "cpu":
            return super().forward(input)
        outputs, mean, variance = self._standardized(input)
        if self.track_running_stats:
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            self.num_batches_tracked += 1
            self._average(mean, variance, self.momentum)
        return outputs

    def _average_exactly(self, inputs: Tensor, count: int) -> Tensor:
        """The training forward, in which this batch is the average's ``count``-th."""
        outputs, mean, variance = self._standardized(inputs)
        self.exact_batches = count
        if count == 1:  # what they held, even if it is not finite, leaves no trace
            assert self.running_mean is not None
            assert self.running_var is not None
            self.running_mean.zero_()
            self.running_var.zero_()
        self._average(mean, variance, 1 / count)
        return outputs

    def _standardized(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The outputs, and mean and unbiased variance of the batch, per channel."""
        require_batch(inputs)
        outputs, mean, variance = standardized(inputs, self.weight, self.bias, self.eps)
        values = inputs.numel() // inputs.shape[1]
        return outputs, mean, variance * (values / (values - 1))

    @torch.no_grad()
    def _average(self, mean: Tensor, variance: Tensor, momentum: float) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)

    def _check_input_dim(self, input: Tensor) -> None:
        require_features(input)
