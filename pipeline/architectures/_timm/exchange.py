"""Modules of timm's own, and what torch has in their place."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch import nn
from torchvision.models.convnext import LayerNorm2d

from pipeline.architectures import chain
from pipeline.architectures._torchvision.graph import Unsupported

layers: Any = import_module("timm.layers")
_IDLE = (layers.DropPath, layers.DropBlock2d, layers.PatchDropout)
_ACTIVATIONS = {
    layers.GELU: nn.GELU,
    layers.GELUTanh: lambda: nn.GELU("tanh"),
    layers.Swish: nn.SiLU,
    layers.HardSwish: nn.Hardswish,
    layers.Tanh: nn.Tanh,
    layers.Sigmoid: nn.Sigmoid,
}
_PLAIN = (layers.StdConv2d, layers.ScaledStdConv2d)
_SAME = (layers.StdConv2dSame, layers.ScaledStdConv2dSame)
_NORMS = ("evo_norm", "filter_response_norm", "inplace_abn", "norm", "norm_act", "split_batchnorm")
"""Files of timm's layers in which all classes normalize."""


def exchange(model: nn.Module) -> nn.Module:
    """Put torch's modules in the place of timm's, within the model.

    Raises:
        Unsupported: if a module normalizes in a way of its own.
    """
    for name, parent in list(model.named_modules()):
        if getattr(parent, "fused_attn", False) is True:
            vars(parent)["fused_attn"] = False
        for key, child in parent.named_children():
            setattr(parent, key, _exchanged(f"{name}.{key}".lstrip("."), child))
    return model


def _exchanged(path: str, module: nn.Module) -> nn.Module:
    kind = type(module)
    if not kind.__module__.startswith("timm."):
        return module
    if isinstance(module, _IDLE):
        return nn.Identity()
    if kind in _ACTIVATIONS:
        return _ACTIVATIONS[kind]()
    if isinstance(module, nn.Linear | nn.Conv2d):
        return _weight_layer(module)
    norm = _norm(module)
    if norm is None:
        if kind.__module__.removeprefix("timm.layers.") in _NORMS:
            raise Unsupported(f"{path} normalizes as a {kind.__name__}, which cannot be replaced")
        return module
    activation = getattr(module, "act", None)
    if activation is None or isinstance(activation, nn.Identity):
        return norm
    return chain(norm=norm, act=_exchanged(f"{path}.act", activation))


def _weight_layer(layer: nn.Linear | nn.Conv2d) -> nn.Module:
    """A layer of torch's, where timm's differs from it only by what is normalized."""
    if isinstance(layer, nn.Linear):
        own = nn.Linear(layer.in_features, layer.out_features, layer.bias is not None)
        return own if type(layer) is layers.Linear else layer
    keys = ("kernel_size", "stride", "padding", "dilation", "groups")
    settings: dict[str, Any] = {key: getattr(layer, key) for key in keys}
    settings["bias"] = layer.bias is not None
    if isinstance(layer, _SAME):
        return layers.Conv2dSame(layer.in_channels, layer.out_channels, **settings)
    if isinstance(layer, _PLAIN):
        return nn.Conv2d(layer.in_channels, layer.out_channels, **settings)
    return layer


def _norm(module: nn.Module) -> nn.Module | None:
    """A normalization that stands where the module does, of as many channels; None if it is none.

    What it computes does not matter, since the normalizer replaces it: only where channels stand.
    """
    if isinstance(module, nn.BatchNorm2d):
        return nn.BatchNorm2d(module.num_features)
    if isinstance(module, nn.GroupNorm):
        return nn.GroupNorm(1, module.num_channels)
    sizes: Any = getattr(module, "normalized_shape", None)
    if sizes is None or "Norm" not in type(module).__name__:
        return None
    return LayerNorm2d(sizes[0]) if "2d" in type(module).__name__ else nn.LayerNorm(sizes)
