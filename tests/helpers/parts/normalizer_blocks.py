"""A weight layer and its normalizer: what every normalizer is tested in."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.catalog.registry import load, parts
from pipeline.normalizers import Normalizer, relu
from tests.pipeline.normalizers.formulas.common import Buffers, State
from tests.pipeline.normalizers.references import REFERENCES, Reference

NAMES = list(parts("normalizers"))
KEY = 7
Options = dict[str, Any]


def make(name: str, **options: Any) -> Normalizer:
    return load(parts("normalizers")[name])(**options)


def variants() -> list[Any]:
    """Every normalizer with every set of options that its reference lists."""
    return [
        pytest.param(name, options, id=_label(name, options))
        for name in NAMES
        for options in REFERENCES.get(name, Reference()).variants
    ]


def cases() -> list[Any]:
    """The same on maps (N, C, H, W) and, where the normalizer takes them, on vectors (N, C)."""
    on_maps = [pytest.param(*v.values, True, id=f"{v.id}-NCHW") for v in variants()]
    on_vectors = [
        pytest.param(*v.values, False, id=f"{v.id}-NC")
        for v in variants()
        if make(v.values[0], **v.values[1]).traits.minimum_spatial_size == 1
        and REFERENCES[v.values[0]].vectors
    ]
    return on_maps + on_vectors


def block(
    name: str,
    options: Options,
    *,
    maps: bool = True,
    channels: int | None = None,
    fresh: bool = False,
) -> Any:
    """``layer`` and ``norm`` in a row, in float64 with random parameters and a noise key.

    Then ``residual`` and ``activation``, where the normalizer has its own. A normalizer with a
    warm-up has left it, unless it is to be fresh.
    """
    torch.manual_seed(1)  # singular vectors of `spectral` begin at the layer's first weights
    norm = make(name, **options)
    channels = channels or REFERENCES[name].channels
    bias = not norm.traits.bias_free
    layer = (
        nn.Conv2d(3, channels, 3, padding=1, bias=bias) if maps else nn.Linear(5, channels, bias)
    )
    modules = OrderedDict(layer=norm.weight(layer), norm=norm.features(channels))
    if not isinstance(residual := norm.residual(), nn.Identity):
        modules["residual"] = residual
    if norm.activation is not relu:
        modules["activation"] = norm.activation(channels)
    made = nn.Sequential(modules).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    set_noise_key(made, KEY)
    for key, value in ({} if fresh else REFERENCES[name].later).items():
        [buffer] = [b for place, b in made.named_buffers() if place.rpartition(".")[2] == key]
        buffer.fill_(value)
    return made


def set_noise_key(module: nn.Module, key: int) -> None:
    noisy: list[Any] = [child for child in module.modules() if hasattr(child, "noise_key")]
    for child in noisy:
        child.noise_key = key


def stop_tracking(module: nn.Module) -> None:
    tracking: list[Any] = [m for m in module.modules() if getattr(m, "track_running_stats", False)]
    for child in tracking:
        child.track_running_stats = False


def inputs(*, maps: bool = True, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (5, 3, 3, 2) if maps else (5, 5)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def expected(
    name: str,
    options: Options,
    parameters: dict[str, Tensor],
    buffers: Buffers,
    batch: Tensor,
    *,
    training: bool,
) -> tuple[Tensor, Buffers]:
    """Outputs and buffers of a block by the formula; names are those of the block."""
    reference = REFERENCES[name]
    on_features, on_weight = _divided(reference, options)
    part = {
        name: State(_under(f"{name}.", parameters), _under(f"{name}.", buffers), training, KEY)
        for name in ("layer", "norm", "residual", "activation")
    }
    weight, moved_by_layer = reference.weight(part["layer"], **on_weight)
    bias = part["layer"].parameters.get("bias")
    if batch.ndim == 4:
        features = functional.conv2d(batch, weight, bias, padding=1)
    else:
        features = functional.linear(batch, weight, bias)
    outputs, moved = reference.features(features, part["norm"], **on_features)
    outputs = reference.residual(outputs, part["residual"].parameters)
    outputs = reference.activation(outputs, part["activation"].parameters)
    on_layer = {f"layer.{name}": buffer for name, buffer in moved_by_layer.items()}
    return outputs, on_layer | {f"norm.{name}": buffer for name, buffer in moved.items()}


def _divided(reference: Reference, options: Options) -> tuple[Options, Options]:
    acts_on_features = reference.features is not Reference.features
    acts_on_weight = reference.weight is not Reference.weight
    return options if acts_on_features else {}, options if acts_on_weight else {}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _label(name: str, options: Options) -> str:
    given = ",".join(f"{key}={value}" for key, value in options.items())
    return f"{name}({given})" if given else name
