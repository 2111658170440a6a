"""A network in the middle of its training, on images made here, for probes to be timed on."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pipeline.architectures import Network
from pipeline.data import Batch, Dataset, Split, Task
from pipeline.data._objective import objective
from pipeline.normalizers import Traits
from pipeline.probes._vectors import Params, buffers, parameters
from pipeline.probes._view import View, set_noise
from pipeline.training.batches import Batches, drawn_batch, other_batch, probe_batch
from pipeline.training.initialization import initialize
from pipeline.training.layout import laid_out
from pipeline.trial.run import build

CLASSES, SIZE = 10, 32
LR = 0.02


def images(samples: int, device: torch.device, size: int = SIZE) -> Dataset:
    """Ten smooth random patterns, one per class, under as much noise; learned in a minute.

    Their size is by default that of CIFAR-10's images. Nothing is downloaded.
    """
    rng = torch.Generator().manual_seed(0)
    coarse = torch.rand(CLASSES, 3, 4, 4, generator=rng)
    patterns = torch.nn.functional.interpolate(coarse, size, mode="bilinear")
    labels = torch.arange(samples) % CLASSES
    noise = torch.rand(samples, 3, size, size, generator=rng)
    pixels = (255 * (patterns[labels] + noise) / 2).to(torch.uint8)
    held_out = samples // 8
    splits = [Split(pixels[part], labels[part]) for part in _parts(samples, held_out)]
    values = splits[0].inputs.double() / 255
    task = Task(loss="cross_entropy", input_shape=(3, size, size), outputs=CLASSES)
    return Dataset(
        task=task,
        train=splits[0],
        validation=splits[1],
        test=splits[1],
        mean=values.mean((0, 2, 3)).float(),
        std=values.std((0, 2, 3)).float(),
        digest="",
    ).to(device)


def _parts(samples: int, held_out: int) -> tuple[slice, slice]:
    return slice(samples - held_out), slice(samples - held_out, samples)


def doubled(view: View) -> View:
    """The same step in float64, of a network of its own."""

    def cast(params: Params) -> Params:
        return {k: v.double() if v.is_floating_point() else v for k, v in params.items()}

    return replace(
        view,
        network=copy.deepcopy(view.network).double(),
        initial=cast(view.initial),
        initial_buffers=cast(view.initial_buffers),
        before=cast(view.before),
        after=cast(view.after),
        grad=cast(view.grad),
        loss_value=view.loss_value.double(),
        batch=_doubled(view.batch),
        probe_batch=_doubled(view.probe_batch),
        second_probe_batch=view.second_probe_batch and _doubled(view.second_probe_batch),
        sample_batch=lambda size: _doubled(view.sample_batch(size)),
        shared={},
        memory={},
    )


def _doubled(batch: Batch) -> Batch:
    targets = batch.targets
    return Batch(
        batch.inputs.double(), targets.double() if targets.is_floating_point() else targets
    )


@dataclass
class Scene:
    """A network, its data, and the step at which it is; `advance` trains on."""

    network: Network
    dataset: Dataset
    batches: Batches
    traits: Traits
    step: int = 0
    lr: float = LR

    def advance(self, steps: int) -> View:
        """Take so many SGD steps and show the last one to probes."""
        for _ in range(steps - 1):
            self.take()
        before = parameters(self.network)
        batch = self.batches.at(self.step)
        value = self.take()
        return self._view(before, batch, value)

    def gradient(self, batch: Batch) -> Tensor:
        """G: one forward and one backward on a batch, as in a training step."""
        self.network.zero_grad(set_to_none=True)
        loss = objective(self.network.task, self.network(batch.inputs), batch.targets)
        loss.backward()
        return loss.detach()

    def take(self) -> Tensor:
        """One SGD step; returns the loss before it."""
        self.network.train()
        set_noise(self.network, 0, self.step)
        value = self.gradient(self.batches.at(self.step))
        torch.optim.SGD(self.network.parameters(), lr=self.lr).step()
        self.step += 1
        return value

    def _view(self, before: Params, batch: Batch, value: Tensor) -> View:
        rng = torch.Generator().manual_seed(0)
        size = len(batch.targets)
        return View(
            network=self.network,
            step=self.step - 1,
            lr=self.lr,
            initial=before,
            initial_buffers=buffers(self.network),
            before=before,
            after=parameters(self.network),
            grad={
                n: p.grad.clone() for n, p in self.network.named_parameters() if p.grad is not None
            },
            loss_value=value,
            batch=batch,
            probe_batch=probe_batch(self.dataset, size),
            second_probe_batch=other_batch(self.dataset, size),
            sample_batch=partial(drawn_batch, self.dataset, (), rng),
            traits=self.traits,
            seed=0,
            rng=rng,
        )


def scene(
    architecture: Mapping[str, Any],
    normalizer: Sequence[Mapping[str, Any]],
    dataset: Dataset,
    batch_size: int,
    lr: float = LR,
    precision: str = "float32",
) -> Scene:
    """Build and initialize (He) a network at step 0, laid out as by trials of a precision."""
    settings = {"architecture": architecture, "normalizer": normalizer}
    network, norm = build(settings, dataset.task)
    initialize(network, norm, "he", 0)
    network = laid_out(network, dataset.train.inputs.device, precision)
    batches = Batches(dataset, batch_size=batch_size, augment=(), seed=0)
    return Scene(network, dataset, batches, norm.traits, lr=lr)
