"""Which parameters belong to which weight layer, and which layers a probe is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from pipeline.architectures import Network

T = TypeVar("T")


def select_layers(
    items: Sequence[T], indices: Sequence[int] | None, where: str
) -> list[tuple[int, T]]:
    """The items that an option ``layers`` names, with their places from 1 on, in forward order.

    Args:
        items: all of them.
        indices: places from 1 on; None for all.
        where: the probe's name, for the error.

    Raises:
        ValueError: if there is no item of some index.
    """
    beyond = [index for index in indices or () if index > len(items)]
    if beyond:
        raise ValueError(f"{where}.layers: there is no layer {beyond[0]}; the last is {len(items)}")
    places = range(1, len(items) + 1) if indices is None else sorted(set(indices))
    return [(place, items[place - 1]) for place in places]


@dataclass(frozen=True)
class LayerParameters:
    """The parameters that belong to one weight layer."""

    name: str
    stage: int
    weight: tuple[str, ...]
    """The weight alone: one tensor, or the parts of its reparametrization (g and v, say)."""
    all: tuple[str, ...]
    """With its bias and the normalizer's parameters up to the next weight layer."""


def parameters_by_layer(network: Network) -> list[LayerParameters]:
    """Divide all parameters among the weight layers, in forward order.

    A parameter outside a weight layer belongs to the last weight layer before it; what comes before
    the first one belongs to the first.
    """
    layers = network.weight_layers()
    position = {layer.module: index for index, layer in enumerate(layers)}
    owned: list[list[str]] = [[] for _ in layers]
    current = 0
    known = {name for name, _ in network.named_parameters()}
    for prefix, module in network.modules_in_order():
        current = position.get(module, current)
        names = [
            f"{prefix}.{n}" if prefix else n for n, _ in module.named_parameters(recurse=False)
        ]
        owned[current] += [name for name in names if name in known]
    return [
        LayerParameters(
            layer.name,
            layer.stage,
            weight=tuple(name for name in names if _is_weight(name, layer.name)),
            all=tuple(names),
        )
        for layer, names in zip(layers, owned, strict=True)
    ]


def _is_weight(parameter: str, layer: str) -> bool:
    own = parameter.removeprefix(f"{layer}.")
    return own == "weight" or (own != parameter and own.startswith("parametrizations.weight."))
