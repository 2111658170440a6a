"""The arithmetic of a training step: float32, TF32 or bfloat16. Everything else stays in float32.

Weights, gradients, the optimizer's state and a normalizer's own statistics are float32 tensors in
each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.architectures import Network
from pipeline.spec import refuse_tf32

_TENSOR_CORES_WITH_TF32 = (8, 0)
"""Compute capability from which on NVIDIA's GPUs have TF32 (Ampere)."""


def check_precision(training: Mapping[str, Any], device: torch.device) -> None:
    """Refuse a precision that the device does not have.

    Raises:
        ValueError: for tf32 on a CPU or on a GPU older than Ampere.
    """
    if device.type != "cuda":
        refuse_tf32(training, "a CPU")
    elif torch.cuda.get_device_capability(device) < _TENSOR_CORES_WITH_TF32:
        refuse_tf32(training, f"{torch.cuda.get_device_name(device)}, which is older than Ampere")


@contextmanager
def step_precision(precision: str, network: Network) -> Iterator[None]:
    """Context manager within which a forward and its backward have the arithmetic of a precision.

    float32: every operation in float32. tf32: GPUs round the factors of all convolutions and matrix
    products to 10 bits of mantissa and add in float32. bfloat16: the inputs, weights and results of
    convolutions and linear layers are rounded to bfloat16 (7 bits), as autocast does it; what lies
    between the layers, normalizers above all, sees and computes float32.
    """
    with _CONTEXTS[precision](network):
        yield


@contextmanager
def _float32(network: Network) -> Iterator[None]:
    del network
    yield


@contextmanager
def _tf32(network: Network) -> Iterator[None]:
    del network
    matmul, convolution = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = matmul
        torch.backends.cudnn.allow_tf32 = convolution


@contextmanager
def _bfloat16(network: Network) -> Iterator[None]:
    """Autocast of the whole network would also round normalizers' means and variances."""
    layers = [layer.module for layer in network.weight_layers()]
    for layer in layers:
        vars(layer)["forward"] = _in_bfloat16(layer)
    try:
        yield
    finally:
        for layer in layers:
            del vars(layer)["forward"]


def _in_bfloat16(layer: nn.Module) -> Callable[[Tensor], Tensor]:
    """Forward of a convolution or a linear layer with rounded inputs, weights and results."""
    product = layer._conv_forward if isinstance(layer, nn.Conv2d) else functional.linear

    def forward(inputs: Tensor) -> Tensor:
        # A reparametrized weight is computed here, in float32.
        weight, bias = cast(Tensor, layer.weight), cast("Tensor | None", layer.bias)
        rounded = None if bias is None else bias.bfloat16()
        return product(inputs.bfloat16(), weight.bfloat16(), rounded).float()

    return forward


_CONTEXTS = {"float32": _float32, "tf32": _tf32, "bfloat16": _bfloat16}
