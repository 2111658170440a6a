"""`Monitor`: probes in five lines of a training loop of one's own, and the run in the store."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.data import Batch
from pipeline.monitor import study
from pipeline.monitor.arguments import (
    check_first,
    check_loss,
    check_options,
    check_tensors,
    checked_traits,
    ranks,
    refuse_shared_statistics,
    unwrapped,
)
from pipeline.monitor.observed import LossFunction, ObservedNetwork
from pipeline.monitor.runner import OwnLoopObserver, samples_of
from pipeline.monitor.stages import Stage
from pipeline.monitor.steps import DIVERGENCE, Curve, Taken, optimizers_watched
from pipeline.normalizers import Traits
from pipeline.package_version import versions_of
from pipeline.probes._vectors import parameters
from pipeline.store import Store
from pipeline.training.outcome import Outcome
from pipeline.trial.result import describe, tables


class Monitor:
    """Measures the steps of a training loop, and saves the run as a cell of a store.

        monitor = Monitor(network, loss_fn, probes={"gradient_ics": {"every": 50}}, name="study")
        for inputs, targets in loader:
            loss = loss_fn(network(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            with monitor.step(inputs, targets, loss):
                optimizer.step()
        monitor.finish(test_accuracy=0.9)

    Training with and without it is bitwise the same. What a probe sees at a step is the loss of
    ``inputs`` and ``targets`` in float32, in the modes in which the loop has the modules; a network
    with dropout is seen under one mask per step. Under data parallelism rank 0 measures, on its own
    batch, and the other ranks do nothing.

    Args:
        network: any module of one tensor; it may be wrapped for data parallelism or compiled.
        loss_fn: outputs and targets → the loss, a scalar, as the loop computes it.
        probes: by name, with cadence and options as in a sweep file.
        name: of the study, for the report: lower-case letters, digits, - and _.
        labels: what tables call the run: data, architecture, normalizer, lr, seed; any other is
            joined in ``training``. Two runs of a study need different labels.
        storage: a folder or URI; None: NORMSCOPE_STORAGE, else ``results``.
        stages: the network as a list of modules, their paths, or functions, each of one tensor to
            one; None: torch.fx cuts the network, where it can.
        samples: training inputs and targets, of which fixed probe batches are taken and other
            batches drawn; None: probe batches are of the first step's batch, and none is drawn.
        traits: of the network's normalizers; ``true_gradient=False`` leaves second derivatives out.
        steps: how many there will be; needed for ``log`` and for negative steps of ``at``.

    Raises:
        ValueError: if an argument is wrong, or the network needs other ranks to run.
    """

    def __init__(
        self,
        network: nn.Module,
        loss_fn: LossFunction,
        *,
        probes: Mapping[str, Any],
        name: str,
        labels: Mapping[str, Any] | None = None,
        storage: str | os.PathLike[str] | None = None,
        stages: Sequence[str | Stage] | None = None,
        samples: tuple[Tensor, Tensor] | None = None,
        traits: Traits | None = None,
        steps: int | None = None,
    ) -> None:
        check_options(loss_fn, labels, samples, stages, steps)
        self._root, self._loss_fn = unwrapped(network), loss_fn
        self._rank, self._ranks = ranks()
        refuse_shared_statistics(self._root, self._ranks)
        self._store = Store(study.checked_storage(storage))
        self._name = study.checked_name(name, self._store)
        self._labels = study.checked_labels(labels or {}, self._root)
        self._probes = study.checked_probes(probes, steps)
        self._stages, self._samples, self._steps = stages, samples, steps
        self._traits = checked_traits(traits)
        self._curve, self._taken = Curve(), 0
        self._evaluations: list[dict[str, Any]] = []
        self._batch_size, self._optimizers = 0, ""
        self._packages: set[str] = set()
        self._within = False
        self._observer: OwnLoopObserver | None = None
        self._network: ObservedNetwork | None = None
        self._notes: list[str] = []
        self._began = time.perf_counter()

    @contextmanager
    def step(self, inputs: Tensor, targets: Tensor, loss: Tensor | float) -> Iterator[None]:
        """Context manager around the update of the parameters: it measures the step t → t + 1.

        Args:
            inputs: (N, …), of which the loss was taken; with accumulated gradients any batch will
                do, and what is measured is of that batch.
            targets: (N, …).
            loss: at θ_t, a scalar, for the training curve; unscaled.
        """
        if self._rank:
            yield
            return
        if self._within:
            raise ValueError("monitor.step: it is within another one; one is around one update")
        check_loss(loss)
        observer, network = self._prepared(inputs, targets)
        step, due = self._taken, observer.due(self._taken) and self._curve.diverged_step is None
        if due and network.is_other():
            observer.give_up(step, "its trained parameters are others than at the first step")
            due = False
        before = parameters(network) if due else None
        with self._marked(), optimizers_watched(self._root.parameters()) as seen:
            yield
        rate = seen.rates[0] if seen.rates else self._last_rate(seen)
        self._note_optimizers(seen)
        self._curve.append(rate, loss)
        self._taken += 1
        if before is not None:
            self._curve.look()
            batch = Batch(inputs.detach(), targets.detach())
            value = torch.as_tensor(loss, device=inputs.device).detach()
            observer.observe(step, rate, before, batch, value)

    @contextmanager
    def _marked(self) -> Iterator[None]:
        self._within = True
        try:
            yield
        finally:
            self._within = False

    def evaluated(self, **numbers: float) -> None:
        """Add numbers of an evaluation after the steps so far.

        Args:
            numbers: any of validation_loss, validation_accuracy, test_loss and test_accuracy;
                accuracies are shares, from 0 to 1.

        Raises:
            ValueError: for another name, what is no number, or an accuracy that is no share.
        """
        row = {"step": self._taken, **study.checked_numbers(numbers)}
        if self._evaluations and self._evaluations[-1]["step"] == self._taken:
            row = self._evaluations.pop() | row
        self._evaluations.append(row)

    def finish(self, **numbers: float) -> str | None:
        """Save the run, with numbers of the trained network as in `evaluated`.

        A run whose loss became NaN or infinite, or 100 times the first, is saved too. Its status is
        ``diverged``, it ends at that step, and it has no numbers of a trained network.

        Returns:
            The id of its cell; None on other ranks than 0.

        Raises:
            ValueError: if no step was taken.
        """
        if self._rank:
            return None
        if self._observer is None:
            raise ValueError("finish: no step was taken; put monitor.step around optimizer.step()")
        self.evaluated(**numbers)
        outcome, labels = self._outcome(self._observer), self._labels
        if labels["lr"] is None:
            labels = {**labels, "lr": self._curve.rates[0]}
        cell = study.cell_of(self._name, labels, self._settings())
        sources = study.sources(self._root, self._probes)
        seconds = time.perf_counter() - self._began
        result = describe(cell, outcome, self._root, "", seconds, sources)
        result["provenance"] |= {"data_digest": None, "own_loop": self._provenance(self._observer)}
        result["provenance"]["versions"] |= versions_of(self._packages)
        study.add_to_plan(self._store, self._name, cell)
        self._store.write_result(result, tables(outcome))
        return cell.cell_id

    def _prepared(self, inputs: Tensor, targets: Tensor) -> tuple[OwnLoopObserver, ObservedNetwork]:
        """The observer, made of the first step's batch and the parameters before it."""
        check_tensors(inputs, targets)
        if self._observer is None or self._network is None:
            check_first(self._root, inputs, targets)
            network = ObservedNetwork(self._root, self._loss_fn, inputs.detach(), self._stages)
            device = next(self._root.parameters()).device
            own = self._samples
            samples = samples_of(*(own or (inputs, targets))).to(device)
            self._batch_size = len(targets)
            settings = {**self._settings(), "seed": self._labels["seed"]}
            self._network, self._notes = network, network.notes
            self._observer = OwnLoopObserver(
                settings, samples, network, self._traits, can_draw=own is not None
            )
        return self._observer, self._network

    def _settings(self) -> dict[str, Any]:
        """A cell's settings, as far as they are known."""
        training = {
            "loop": "own",
            "steps": self._taken if self._observer else self._steps,
            "batch_size": self._batch_size,
            "optimizer": self._optimizers or "own",
            "lr": self._curve.rates[0] if self._curve.rates else None,
            "augment": [],
            "divergence_factor": DIVERGENCE,
        }
        named = {key: {"name": self._labels[key]} for key in ("data", "architecture")}
        return {
            **named,
            "normalizer": [{"name": self._labels["normalizer"]}],
            "training": training,
            "probes": self._probes,
            "seed": self._labels["seed"],
        }

    def _outcome(self, observer: OwnLoopObserver) -> Outcome:
        curve = self._curve.columns()
        end, seconds = self._curve.diverged_step, time.perf_counter() - self._began
        final = [value for key, value in self._evaluations[-1].items() if key != "step"]
        if end is None and not all(map(math.isfinite, final)):
            end = self._taken
        last = self._taken if end is None else end
        probes = {
            name: [block for block in blocks if block["step"][0] <= last]
            for name, blocks in observer.blocks.items()
        }
        return Outcome(
            diverged_step=end,
            curve=curve,
            evaluations=[row for row in self._evaluations if row["step"] <= last],
            probes={name: blocks for name, blocks in probes.items() if blocks},
            steps_taken=self._taken,
            training_seconds=seconds - sum(observer.seconds.values()),
            probe_seconds=dict(observer.seconds),
            probe_memory=dict(observer.peak.parts),
            peak_memory=observer.peak.highest(),
        )

    def _provenance(self, observer: OwnLoopObserver) -> dict[str, Any]:
        """What a reader must know of how this run was measured."""
        notes = [*self._notes, *observer.notes]
        if self._ranks > 1:
            text = f"rank 0 of {self._ranks} measured on its own batch of {self._batch_size}"
            notes.append(text)
        if self._samples is None:
            notes.append("probe batches are samples of the first step's batch")
        return {"notes": notes, "unmeasured": dict(observer.unmeasured)}

    def _last_rate(self, seen: Taken) -> float:
        """The rate of a step that moved no parameter of this network by an optimizer of torch."""
        if self._curve.rates:
            return self._curve.rates[-1]
        if self._labels["lr"] is None:
            raise ValueError(f"monitor.step: {seen.without_rate}")
        return float(self._labels["lr"])

    def _note_optimizers(self, seen: Taken) -> None:
        self._optimizers = self._optimizers or "+".join(dict.fromkeys(seen.optimizers))
        self._packages |= seen.packages
        text = "learning rates of parameter groups differ; the first is recorded"
        if len(set(seen.rates)) > 1 and text not in self._notes:
            self._notes.append(text)
        if seen.strangeness and (note := f"monitor.step: {seen.strangeness}") not in self._notes:
            self._notes.append(note)
