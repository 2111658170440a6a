"""A network's training by this project's loop, and by bare loops of the same network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pipeline.architectures import Network
from pipeline.catalog.validation import validate
from pipeline.data import Dataset
from pipeline.data._objective import objective
from pipeline.spec.expand import expand
from pipeline.spec.schema import SweepFile
from pipeline.training.graph_step import captured, on_side_stream
from pipeline.training.initialization import initialize
from pipeline.training.layout import laid_out
from pipeline.training.loop import _Loop
from pipeline.trial.run import build

Precision = Literal["float32", "tf32", "bfloat16"]
LR = 0.01
_ENDLESS = 10**9
"""Steps of a loop that a benchmark takes block by block: it must not come to its end."""


@dataclass(frozen=True)
class Variant:
    """A way to train: whose loop, and what it does to be fast."""

    loop: Literal["ours", "bare"]
    precision: Precision = "float32"
    graph: bool = False
    """The whole step is one CUDA graph."""
    tuned: bool = False
    """cuDNN chooses its algorithms by timing them (``cudnn.benchmark``), and need not be
    deterministic: two runs differ by rounding. Ours is always deterministic."""
    channels_last: bool = True
    """Of a bare loop; ours chooses its own order."""

    @property
    def name(self) -> str:
        """What a table's column is called."""
        step = "graph" if self.graph else "eager"
        tuned = ", not deterministic" if self.tuned else ""
        return f"{self.loop}, {step}{tuned}{'' if self.channels_last else ', NCHW'}"


def settings_of(
    architecture: Mapping[str, Any], batch: int, precision: str, normalizer: Any = "batch"
) -> dict[str, Any]:
    """A cell without probes, and with an end that no benchmark reaches."""
    training = {"steps": _ENDLESS, "evaluate_every": _ENDLESS, "batch_size": batch, "lr": LR}
    content = {
        "name": "training",
        "base": {
            "data": "digits",  # the benchmark has its own
            "architecture": dict(architecture),
            "normalizer": normalizer,
            "training": training | {"precision": precision},
        },
    }
    (cell,) = expand(validate(SweepFile, content, "")).cells
    return cell.settings


def block_of(
    variant: Variant,
    architecture: Mapping[str, Any],
    dataset: Dataset,
    batch: int,
    steps: int,
    normalizer: Any = "batch",
) -> Callable[[], None]:
    """What takes the next ``steps`` steps of a training that goes on from call to call."""
    settings = settings_of(architecture, batch, variant.precision, normalizer)
    network, norm = build(settings, dataset.task)
    initialize(network, norm, "glorot", 0)
    device, ours = dataset.train.inputs.device, variant.loop == "ours"
    if ours:
        network = laid_out(network, device, variant.precision).train()
    else:
        order = torch.channels_last if variant.channels_last else torch.contiguous_format
        network = network.to(device).to(memory_format=order).train()  # pyright: ignore
    take = (_ours if ours else _bare)(variant, settings, dataset, network)

    def block() -> None:
        with _arithmetic(variant):
            for _ in range(steps):
                next(take)

    return block


@contextmanager
def _arithmetic(variant: Variant) -> Iterator[None]:
    """Context manager within which torch's global switches are as a bare loop would set them."""
    backends = torch.backends
    tf32 = variant.loop == "bare" and variant.precision == "tf32"
    before = (backends.cudnn.benchmark, backends.cudnn.deterministic)
    backends.cudnn.benchmark, backends.cudnn.deterministic = variant.tuned, not variant.tuned
    backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        backends.cudnn.benchmark, backends.cudnn.deterministic = before
        backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = False


def _ours(
    variant: Variant, settings: dict[str, Any], dataset: Dataset, network: Network
) -> Iterator[None]:
    """Steps of the loop, with its looks at the losses."""
    loop = _Loop(settings, dataset, network, None, float("inf"), variant.graph)
    for step in range(_ENDLESS):
        loop._step(step)
        loop._is_over(step + 1)
        yield


def _bare(
    variant: Variant, settings: dict[str, Any], dataset: Dataset, network: Network
) -> Iterator[None]:
    """Steps that do the least: a batch from the device, forward, backward, update; no losses."""
    device, size = dataset.train.inputs.device, settings["training"]["batch_size"]
    fused = device.type == "cuda"
    optimizer = torch.optim.SGD(network.parameters(), lr=LR, fused=fused)
    whole = len(dataset.train.targets) // size
    order = torch.randperm(len(dataset.train.targets), device=device)
    fixed = dataset.batch(dataset.train, order[:size])

    def step(inputs: Tensor, targets: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        low = variant.precision == "bfloat16"
        with torch.autocast(device.type, torch.bfloat16, enabled=low):
            loss = objective(dataset.task, network(inputs), targets)
        loss.backward()
        optimizer.step()

    replay = _replayed(lambda: step(*fixed), network) if variant.graph else None
    for number in range(_ENDLESS):
        place = number % whole * size
        batch = dataset.batch(dataset.train, order[place : place + size])
        if replay is None:
            step(*batch)
        else:
            fixed.inputs.copy_(batch.inputs)
            fixed.targets.copy_(batch.targets)
            replay()
        yield


def _replayed(step: Callable[[], None], network: nn.Module) -> Callable[[], None]:
    on_side_stream(step)
    network.zero_grad(set_to_none=True)
    return captured(step)
