"""Networks and loops as users write them."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from pipeline.monitor.monitor import Monitor
from pipeline.store.store import Store

SIZE = 24
LOSS = nn.CrossEntropyLoss()


class Block(nn.Module):
    """Modules registered in another order than they are called; one ReLU twice, in place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.norm1(self.conv1(x)))
        return self.relu(x + self.norm2(self.conv2(y)))


class Nested(nn.Module):
    """Blocks within a sequence within a network, and a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.scale = nn.Parameter(torch.ones(1))
        self.blocks = nn.Sequential(Block(4), Block(4))
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x) * self.scale).mean((2, 3)))


class Shared(nn.Module):
    """One layer called twice, and a weight that two layers share; control flow on values."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 8)
        self.first, self.twice = nn.Linear(64, 8), nn.Linear(8, 8)
        self.last, self.act = nn.Linear(8, 3), nn.Tanh()
        self.head.weight = self.twice.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.first(x.flatten(1)))
        if x.abs().sum() > 0:  # torch.fx cannot trace it
            x = self.act(self.twice(self.twice(x)))
        return self.last(self.head(x))


class Dropped(nn.Module):
    """Dropout as a module and as a function; numbers of Python's and NumPy's generators."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last, self.act = nn.Linear(64, 8), nn.Linear(8, 3), nn.GELU()
        self.drop = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(self.act(self.first(x.flatten(1))))
        x = x * (1 + 0.001 * random.random() + 0.001 * np.random.rand())  # noqa: NPY002
        return self.last(functional.dropout(x, 0.2, self.training))


class Moving(nn.Module):
    """A buffer that every forward changes, one that it replaces, and a spectral norm."""

    def __init__(self) -> None:
        super().__init__()
        self.first = parametrizations.spectral_norm(nn.Linear(64, 8))
        self.last, self.act = nn.Linear(8, 3), nn.ReLU()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(8))

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.first(x.flatten(1)))
        self.get_buffer("count").add_(1)
        self.mean = 0.9 * self.get_buffer("mean") + 0.1 * x.detach().mean(0)
        return self.last(x - self.mean)


class Attention(nn.Module):
    """A transformer's layer, whose attention is fused, on rows of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(
            8, 2, 16, dropout=0.0, activation=nn.GELU(), batch_first=True
        )
        self.last = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.layer(x.squeeze(1)).mean(1))


def frozen() -> nn.Module:
    """A stem that is not trained, its batch normalization in evaluation mode."""
    network = Nested()
    network.stem.requires_grad_(False)
    network.blocks[0].requires_grad_(False)
    return network


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "nested": Nested,
    "shared": Shared,
    "frozen": frozen,
    "dropout": Dropped,
    "moving": Moving,
    "attention": Attention,
}


def made(name: str) -> nn.Module:
    """A network, the same each time."""
    torch.manual_seed(0)
    network = NETWORKS[name]()
    if name == "frozen":
        network.get_submodule("blocks.0").eval()
    return network


def data() -> tuple[Tensor, Tensor]:
    """Training samples: small images of three classes."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(96, 1, 8, 8, generator=generator)
    return inputs, torch.randint(3, (96,), generator=generator)


def batch(step: int) -> tuple[Tensor, Tensor]:
    """The batch of a step."""
    inputs, targets = data()
    places = torch.arange(step * SIZE, (step + 1) * SIZE) % len(targets)
    return inputs[places], targets[places]


def plain(network: nn.Module, monitor: Monitor | None, steps: int = 3) -> dict[str, Any]:
    """The loop of the documentation."""
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.05, momentum=0.9)
    for step in range(steps):
        inputs, targets = batch(step)
        loss = LOSS(network(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        with monitor.step(inputs, targets, loss) if monitor else nullcontext():
            optimizer.step()
    return {"optimizer": optimizer.state_dict()}


def amp(network: nn.Module, monitor: Monitor | None) -> dict[str, Any]:
    """Autocast to bfloat16, scaled gradients, clipping."""
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for step in range(3):
        inputs, targets = batch(step)
        with torch.autocast("cpu", torch.bfloat16):
            loss = LOSS(network(inputs), targets)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(trained, 0.5)
        with monitor.step(inputs, targets, loss) if monitor else nullcontext():
            scaler.step(optimizer)
        scaler.update()
    return {"optimizer": optimizer.state_dict(), "scaler": scaler.state_dict()}


def accumulated(network: nn.Module, monitor: Monitor | None) -> dict[str, Any]:
    """Two batches per update."""
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.05)
    for step in range(6):
        inputs, targets = batch(step)
        loss = LOSS(network(inputs), targets)
        (loss / 2).backward()
        if step % 2:
            with monitor.step(inputs, targets, loss) if monitor else nullcontext():
                optimizer.step()
            optimizer.zero_grad()
    return {"optimizer": optimizer.state_dict()}


def several(network: nn.Module, monitor: Monitor | None) -> dict[str, Any]:
    """Two optimizers, each with a schedule."""
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizers = [torch.optim.SGD(trained[:1], lr=0.05), torch.optim.Adam(trained[1:], lr=0.01)]
    schedules = [torch.optim.lr_scheduler.ExponentialLR(each, 0.5) for each in optimizers]
    for step in range(3):
        inputs, targets = batch(step)
        loss = LOSS(network(inputs), targets)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        with monitor.step(inputs, targets, loss) if monitor else nullcontext():
            for optimizer in optimizers:
                optimizer.step()
        for schedule in schedules:
            schedule.step()
    return {str(i): each.state_dict() for i, each in enumerate(optimizers)}


LOOPS: dict[str, Callable[[nn.Module, Monitor | None], dict[str, Any]]] = {
    "plain": plain,
    "amp": amp,
    "accumulated": accumulated,
    "several": several,
}


EVERY: dict[str, Any] = {"gradient_ics": {"every": 1}}


def monitor_of(network: nn.Module, folder: Path, **options: Any) -> Monitor:
    """A monitor of the study ``study``."""
    given: dict[str, Any] = {"probes": EVERY, "name": "study", "storage": str(folder), **options}
    return Monitor(network, LOSS, **given)


def finished(network: nn.Module, folder: Path, loop: Any = plain, **options: Any) -> dict[str, Any]:
    """The result of a loop."""
    monitor = monitor_of(network, folder, **options)
    loop(network, monitor)
    cell_id = monitor.finish(test_accuracy=0.5)
    assert cell_id is not None
    return Store(str(folder)).result(cell_id)


def rows_of(folder: Path, result: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The rows of a result's record table."""
    table = Store(str(folder)).records(result, name)
    assert table is not None
    return table.to_pylist()
