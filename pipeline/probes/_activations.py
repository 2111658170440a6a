"""What enters and leaves a network's layers in one run, and its moments unit by unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pipeline.architectures import Layer, Network

PlaceName = Literal["activation", "output", "input"]


@dataclass(frozen=True)
class Place:
    """A tensor of the forward pass that a probe looks at."""

    place: PlaceName
    """What enters a nonlinearity; what leaves a weight layer; what enters one."""
    layer: str
    """The layer's dotted path."""
    index: int
    """Its place among the layers of its kind, from 1 on."""
    layers: int
    """How many of its kind there are."""
    stage: int
    """The stage that holds it."""
    module: nn.Module


def places_of(
    network: Network, names: Sequence[PlaceName], layers: Sequence[int] | None, probe: str
) -> list[Place]:
    """The places that a probe's options ``places`` and ``layers`` name, kind by kind.

    Activation layers and weight layers are counted apart; where one kind has fewer layers than the
    other, an index beyond it names a layer of the other kind alone.

    Raises:
        ValueError: if an index is beyond all kinds, or the network has no activation to look at.
    """
    found: dict[PlaceName, list[Layer]] = {name: _layers(network, name) for name in names}
    if not found.get("activation", [None]):
        raise ValueError(f"{probe} needs a network with activations as modules; this one has none")
    last = max(len(kind) for kind in found.values())
    beyond = [index for index in layers or () if index > last]
    if beyond:
        raise ValueError(f"{probe}.layers: there is no layer {beyond[0]}; the last is {last}")
    return [
        Place(name, layer.name, index, len(kind), layer.stage, layer.module)
        for name, kind in found.items()
        for index, layer in enumerate(kind, 1)
        if layers is None or index in layers
    ]


def _layers(network: Network, name: PlaceName) -> list[Layer]:
    return network.activation_layers() if name == "activation" else network.weight_layers()


def columns_of(places: Sequence[Place]) -> dict[str, list[Any]]:
    """The columns of a record that say where its rows were measured."""
    return {
        "place": [place.place for place in places],
        "layer": [place.layer for place in places],
        "index": [place.index for place in places],
        "layers": [place.layers for place in places],
    }


@contextmanager
def watched(places: Sequence[Place], function: Callable[[Tensor], Any]) -> Iterator[list[Any]]:
    """Within it, every run of the network puts what a function makes of each place into a list."""
    found: list[Any] = [None] * len(places)
    with ExitStack() as hooks:
        for position, place in enumerate(places):
            hook = _hook(place, position, found, function)
            hooks.callback(hook.remove)
        yield found


def _hook(
    place: Place, position: int, found: list[Any], function: Callable[[Tensor], Any]
) -> RemovableHandle:
    def enters(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found[position] = function(inputs[0])

    def leaves(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        found[position] = function(output)

    if place.place == "output":
        return place.module.register_forward_hook(leaves)
    return place.module.register_forward_pre_hook(enters)


def by_unit(values: Tensor) -> Tensor:
    """(N, C) or (N, C, H, W) → (values of a unit, units), a unit being a feature or a channel."""
    return values.movedim(1, -1).flatten(0, -2)


def mean_and_std(values: Tensor) -> tuple[Tensor, Tensor]:
    """Of each unit. Seen from the unit's first value, so that σ of a constant is exactly 0."""
    units = by_unit(values)
    first = units[0]
    centered = units - first
    mean = centered.mean(0)
    return first + mean, centered.sub_(mean).square_().mean(0).sqrt()


def over_units(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and 90th percentile over the last axis, of the finite values."""
    finite = values.masked_fill(~values.isfinite(), torch.nan)
    return finite.nanmean(-1), finite.nanquantile(0.9, -1)
