"""Rules of architectures, on small images, or on vectors where it takes no images."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pipeline.architectures import Network
from pipeline.catalog import registry as catalog
from pipeline.data import Task
from pipeline.normalizers import Normalizer, Traits
from pipeline.probes._vectors import parameters
from pipeline.probes._view import preserve_state

_COUNTED = Normalizer(features=nn.BatchNorm2d, traits=Traits(bias_free=True))
TASKS = [
    Task(loss="cross_entropy", input_shape=shape, outputs=10)
    for shape in ((3, 16, 16), (3, 32, 32), (1, 8, 8), (1, 28, 28), (12,))
]


def take_first(input_shape: tuple[int, ...]) -> None:
    """Try inputs of this shape before all others: a part may take one shape alone."""
    TASKS.insert(0, Task(loss="cross_entropy", input_shape=input_shape, outputs=10))


def make(config: dict[str, Any], norm: Normalizer) -> Network:
    """The network for the first task that it takes.

    Raises:
        TypeError: if the part returns something else. ValueError: if it takes none of the tasks.
    """
    reasons = []
    for task in TASKS:
        try:
            return catalog.make("architectures", config, task, norm)
        except ValueError as error:
            reasons.append(str(error))
    raise ValueError("; ".join(dict.fromkeys(reasons)))


def _inputs(network: Network) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, *network.task.input_shape, generator=generator)


def _outputs(config: dict[str, Any]) -> str:
    network = make(config, Normalizer())
    found, expected = tuple(network(_inputs(network)).shape), (4, network.task.outputs)
    return "" if found == expected else f"outputs have shape {found}, not {expected}"


def _stages(config: dict[str, Any]) -> str:
    network = make(config, Normalizer())
    if not network.weight_layers():
        return "it has no convolution or linear layer"
    params, values = parameters(network), _inputs(network)
    with preserve_state(network):
        whole = network(values)
        for stage in range(len(network)):
            values = network.run_stages(params, values, range(stage, stage + 1))
    return (
        "" if torch.equal(whole, values) else "its stages, one after another, are not the network"
    )


def _gradients(config: dict[str, Any]) -> str:
    network = make(config, Normalizer())
    network(_inputs(network)).square().sum().backward()
    for name, parameter in network.named_parameters():
        if parameter.grad is None or not parameter.grad.isfinite().all():
            return f"{name} has no finite gradient"
    return ""


def _normalized(config: dict[str, Any]) -> str:
    network = make(config, Normalizer())
    if len(network.task.input_shape) == 1:
        return ""
    network = make(config, _COUNTED)
    found = any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    return "" if found else "it does not use the normalizer: norm.features is not in the network"


RULES = {
    "outputs are (N, outputs) of the task": _outputs,
    "a single tensor passes between stages": _stages,
    "every parameter has a gradient": _gradients,
    "the normalizer is in the network": _normalized,
}
