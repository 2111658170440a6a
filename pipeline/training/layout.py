"""The order of a network's maps in memory: the one in which its device computes fastest."""

from __future__ import annotations

from statistics import median

import torch
from torch import nn

from pipeline.architectures import Network

_WIDE = 64
"""Median output channels from which on a GPU's float32 convolutions are faster channels last."""


def memory_format(network: Network, device: torch.device, precision: str) -> torch.memory_format:
    """Channels last, but contiguous for narrow networks in float32 on a GPU, and for vectors.

    Measured on an H200 with deterministic kernels (docs/gpu.md#memory-format): in float32 ResNet-20
    (median of 32 channels) and DenseNet-40 (12) take contiguous maps 1.1 to 1.3 times as fast, and
    VGG-16 (512) takes channels last 1.5 times as fast. In TF32 and bfloat16 all three take channels
    last faster, and so do CPUs.
    """
    if len(network.task.input_shape) != 3:
        return torch.contiguous_format
    if device.type != "cuda" or precision != "float32":
        return torch.channels_last
    layers = [layer.module for layer in network.weight_layers()]
    channels = [layer.out_channels for layer in layers if isinstance(layer, nn.Conv2d)]
    is_wide = bool(channels) and median(channels) >= _WIDE
    return torch.channels_last if is_wide else torch.contiguous_format


def laid_out(network: Network, device: torch.device, precision: str) -> Network:
    """The network on a device, in the memory format of `memory_format`."""
    order = memory_format(network, device, precision)
    return network.to(device).to(memory_format=order)  # pyright: ignore[reportCallIssue]
