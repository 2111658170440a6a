"""Views of one real optimizer step, of small networks of every family under many normalizers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.architectures import Network
from pipeline.catalog import registry as catalog
from pipeline.data import Batch, Task
from pipeline.data._objective import objective
from pipeline.normalizers import Normalizer, Traits, compose
from pipeline.probes._vectors import Params, buffers, parameters
from pipeline.probes._view import View, set_noise
from pipeline.seeds import derive
from pipeline.training.initialization import initialize

SEED = 5
STEP = 3
PLAIN = Traits()
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "vgg": ("vgg11", {"width": 0.0625}),
    "resnet": ("resnet", {"depth": 8, "width": 0.25}),
    "resnet_projected": ("resnet18", {"width": 0.0625}),
    "densenet": ("densenet", {"depth": 10, "growth": 4, "bottleneck": True, "width": 0.25}),
    "deep_linear": ("deep_linear", {"depth": 5}),
}
NORMALIZERS: dict[str, list[str | dict[str, Any]]] = {
    "none": ["none"],
    "batch": ["batch"],
    "noisy_batch": ["noisy_batch"],
    "layer": ["layer"],
    "group": [{"name": "group", "groups": 2}],
    "weight": ["weight_norm"],
    "weight_standardization+group": ["weight_standardization", {"name": "group", "groups": 2}],
}


@dataclass(frozen=True)
class Data:
    """The step's batch and the probe batch."""

    task: Task
    batch: Batch
    probe_batch: Batch


def images(samples: int = 6, size: int = 8) -> Data:
    task = Task(loss="cross_entropy", input_shape=(1, size, size), outputs=5)
    generator = torch.Generator().manual_seed(2)

    def batch() -> Batch:
        inputs = torch.randn(samples, 1, size, size, generator=generator)
        return Batch(inputs, torch.randint(5, (samples,), generator=generator))

    return Data(task, batch(), batch())


def vectors(samples: int = 8, dimension: int = 6) -> Data:
    task = Task(loss="squared_error", input_shape=(dimension,), outputs=dimension)
    generator = torch.Generator().manual_seed(3)
    shape = (samples, dimension)

    def batch() -> Batch:
        inputs = torch.randn(shape, generator=generator)
        return Batch(inputs, 0.3 * torch.randn(shape, generator=generator))

    return Data(task, batch(), batch())


def data_of(family: str) -> Data:
    return vectors() if family == "deep_linear" else images()


def normalizer(config: Sequence[str | dict[str, Any]]) -> Normalizer:
    """A composition from names, or mappings of a name and options."""
    return compose([_part(item) for item in config])


def _part(item: str | dict[str, Any]) -> Normalizer:
    options = {} if isinstance(item, str) else {k: v for k, v in item.items() if k != "name"}
    name = item if isinstance(item, str) else item["name"]
    return catalog.load(catalog.parts("normalizers")[name])(**options)


def build(family: str, norm: Normalizer, task: Task, dtype: torch.dtype) -> Network:
    """A small network of a family, initialized; float64 copies hold the float32 draws."""
    name, options = FAMILIES[family]
    network = catalog.load(catalog.parts("architectures")[name])(task, norm, **options)
    initialize(network, norm, "he", SEED)
    return network.to(dtype)


def cast(batch: Batch, dtype: torch.dtype) -> Batch:
    targets = batch.targets
    return Batch(
        batch.inputs.to(dtype), targets.to(dtype) if targets.is_floating_point() else targets
    )


def view_of(
    family: str,
    norm: str = "batch",
    *,
    lr: float = 0.01,
    dtype: torch.dtype = torch.float64,
    data: Data | None = None,
) -> View:
    """The view of step 3 of a small network: a second SGD step, after one at step 0."""
    data = data or data_of(family)
    made = normalizer(NORMALIZERS[norm])
    network = build(family, made, data.task, dtype)
    initial = parameters(network)
    batch, probe_batch = cast(data.batch, dtype), cast(data.probe_batch, dtype)
    take_step(network, probe_batch, lr, 0)
    return view_of_step(
        network,
        batch,
        probe_batch,
        lr,
        initial=initial,
        initial_buffers=buffers(network),
        traits=made.traits,
    )


def view_of_step(
    network: Network,
    batch: Batch,
    probe_batch: Batch,
    lr: float,
    *,
    step: int = STEP,
    initial: Params | None = None,
    initial_buffers: Params | None = None,
    traits: Traits = PLAIN,
) -> View:
    """Take one SGD step and show it; other batches are of the probe batch's cosines."""
    other = Batch(probe_batch.inputs.cos(), probe_batch.targets)
    before = parameters(network)
    value = take_step(network, batch, lr, step)
    grads = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
    return View(
        network=network,
        step=step,
        lr=lr,
        initial=before if initial is None else initial,
        initial_buffers=buffers(network) if initial_buffers is None else initial_buffers,
        before=before,
        after=parameters(network),
        grad=grads,
        loss_value=value,
        batch=batch,
        probe_batch=probe_batch,
        second_probe_batch=other,
        sample_batch=lambda size: Batch(*(tensor[:size] for tensor in other)),
        traits=traits,
        seed=SEED,
        rng=torch.Generator().manual_seed(derive(SEED, "probe", "test", step)),
    )


def take_step(network: Network, batch: Batch, lr: float, step: int) -> Tensor:
    """θ ← θ − lr·∇L on the batch; returns L before it."""
    network.train()
    set_noise(network, SEED, step)
    network.zero_grad(set_to_none=True)
    loss = objective(network.task, network(batch.inputs), batch.targets)
    loss.backward()
    torch.optim.SGD(network.parameters(), lr=lr).step()
    return loss.detach()


def linear_view(
    weights: Sequence[Tensor], batch: Batch, lr: float, *, step: int = 0, bias: bool = False
) -> View:
    """The view of a step of a chain of linear layers with the given weights, squared error."""
    task = Task(
        loss="squared_error",
        input_shape=(weights[0].shape[1],),
        outputs=weights[-1].shape[0],
    )
    modules = [nn.Linear(w.shape[1], w.shape[0], bias=bias, dtype=w.dtype) for w in weights]
    with torch.no_grad():
        for module, weight in zip(modules, weights, strict=True):
            module.weight.copy_(weight)
            if bias:
                module.bias.zero_()
    network = Network(task, [(f"layer{i}", m) for i, m in enumerate(modules, 1)])
    return view_of_step(network, batch, batch, lr, step=step)
