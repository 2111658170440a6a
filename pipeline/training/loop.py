"""The loop: steps, evaluation, probes, divergence, checkpoints, the end of its time."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from pipeline.architectures import Network
from pipeline.data import Dataset
from pipeline.data._objective import chance_loss
from pipeline.optimizers import UpdateRule
from pipeline.probes._vectors import parameters
from pipeline.probes._view import set_noise
from pipeline.spec import optimizer_name
from pipeline.training import stopping
from pipeline.training.batches import Batches
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.evaluation import SplitName, evaluate, training_samples
from pipeline.training.evaluation_statistics import EvaluationStatistics
from pipeline.training.graph_step import GraphStep
from pipeline.training.live_note import note
from pipeline.training.metering import synchronized_time
from pipeline.training.optimizer import (
    evaluation_weights,
    handing,
    learning_rate,
    optimizer,
    set_learning_rate,
    update_rule,
)
from pipeline.training.outcome import Outcome
from pipeline.training.probe_runner import ProbeRunner, traits_of
from pipeline.training.step import EagerStep

_EVALUATED: dict[SplitName, str] = {
    "train": "eval_train",
    "validation": "validation",
    "test": "test",
}
"""What the loss and the accuracy of a split are called: ``train_loss`` is that of the batch."""
_CHECK_EVERY = 50
"""Steps between two looks at the losses: a look waits for the device."""


def train(
    settings: Mapping[str, Any],
    dataset: Dataset,
    network: Network,
    checkpoints: Checkpoints | None = None,
    time_limit: float = math.inf,
    *,
    cuda_graph: bool = False,
) -> Outcome:
    """Run the cell's training from the network's present weights, or from its checkpoint.

    Every quantity of step t is taken at θ_t, before the update t → t + 1. A loss that is not
    finite, or above ``divergence_factor`` times the first, ends the run there, as a result; so does
    the end of its time, after the step that is being taken. What a resumed run finds is bit for
    bit what an uninterrupted one finds on the same machine.

    Raises:
        Stopped: once its checkpoint is saved, if `pipeline.training.stopping` asks for that.

    Args:
        settings: a cell's settings, resolved.
        dataset: on the network's device.
        network: initialized; it is changed in place.
        checkpoints: where to leave off and to go on from, if anywhere.
        time_limit: seconds of wall time, those before a checkpoint included.
        cuda_graph: on a GPU, take each step as one CUDA graph where the normalizer and the
            optimizer allow it; `Outcome.why_eager` names what does not.
    """
    return _Loop(settings, dataset, network, checkpoints, time_limit, cuda_graph).run()


class _Loop:
    """What the steps of one run share."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        dataset: Dataset,
        network: Network,
        checkpoints: Checkpoints | None,
        time_limit: float,
        cuda_graph: bool = False,
    ) -> None:
        self.checkpoints, self.time_limit = checkpoints, time_limit
        self.training, self.seed = settings["training"], settings["seed"]
        self.dataset, self.network = dataset, network
        self.batches = Batches(
            dataset,
            batch_size=self.training["batch_size"],
            augment=self.training["augment"],
            seed=self.seed,
        )
        # The same optimizer with and without a graph: the same bits.
        on_gpu = dataset.train.inputs.is_cuda
        self.rule = update_rule(self.training)
        self.optimizer = optimizer(network, self.training, capturable=on_gpu)
        how, precision = handing(self.training, self.rule), self.training["precision"]
        eager = EagerStep(network, self.optimizer, precision, _CHECK_EVERY, how)
        why_eager = why_not_captured(settings, self.rule) if cuda_graph and on_gpu else None
        captures = cuda_graph and on_gpu and why_eager is None
        self.take_step = GraphStep(eager) if captures else eager
        self.statistics = EvaluationStatistics(network, self.batches, exact=self.rule.averages)
        self.observer = ProbeRunner(settings, dataset, network, self.statistics)
        chance = chance_loss(dataset.task, dataset.train.targets, self.training["batch_size"])
        self.outcome = Outcome(chance_loss=chance, cuda_graph=captures, why_eager=why_eager)
        self.losses: list[float] = []
        self.accuracies: list[float | None] = []
        self.pending = 0
        self.lap = 0.0
        self.began = time.monotonic()

    def run(self) -> Outcome:
        """Take all steps, or stop where the loss diverges or time runs out."""
        self.network.train()
        if self.rule.averages:
            cast(Any, self.optimizer).train()
        first = self._resume()
        self._lap()
        for step in range(first, self.training["steps"]):
            if step % self.training["evaluate_every"] == 0:
                self._evaluate(step, self.training["evaluate_samples"])
            self._step(step)
            if self._is_over(step + 1):
                break
        return self._finish()

    def _is_over(self, done: int) -> bool:
        """After a step: look at the losses, end the run or save where it stands, if it is time."""
        last = done == self.training["steps"]
        self.outcome.timed_out = not last and self._seconds() >= self.time_limit
        stop = self.checkpoints is not None and not last and stopping.requested()
        save = stop or (self.checkpoints is not None and not last and self.checkpoints.due())
        if last or save or self.outcome.timed_out or done % _CHECK_EVERY == 0:
            self._check_divergence()
        if self.outcome.diverged_step is not None:
            return True
        if last or self.outcome.timed_out:
            self._evaluate(done, None)
            if not _finite(self.outcome.evaluations[-1]):
                self.outcome.diverged_step = done
            return True
        if save:
            self._save(done)
        if stop:
            raise stopping.Stopped(f"after {done} of {self.training['steps']} steps")
        return False

    def _seconds(self) -> float:
        return self.outcome.earlier_seconds + time.monotonic() - self.began

    def _save(self, step: int) -> None:
        assert self.checkpoints is not None
        self.outcome.training_seconds += self._lap()
        state = {
            "step": step,
            "tensors": self._tensors(),
            "optimizer": self.optimizer.state_dict(),
            "losses": self.losses,
            "accuracies": self.accuracies,
            "evaluations": self.outcome.evaluations,
            "observer": self.observer.state(),
            "training_seconds": self.outcome.training_seconds,
            "evaluation_seconds": self.outcome.evaluation_seconds,
            "earlier_seconds": self._seconds(),
        }
        self.checkpoints.save(state)
        self._lap()  # saving is no training

    def _resume(self) -> int:
        """Go on from the checkpoint, if there is one that fits; gives the first step to take."""
        device = self.dataset.train.inputs.device
        state = self.checkpoints.load(device) if self.checkpoints else None
        if state is None:
            return 0
        with torch.no_grad():
            for tensor, saved in zip(self._tensors(), state["tensors"], strict=True):
                tensor.copy_(saved)
        self.optimizer.load_state_dict(state["optimizer"])
        self.losses, self.accuracies = state["losses"], state["accuracies"]
        self.observer.restore(state["observer"])
        self.outcome.evaluations = state["evaluations"]
        self.outcome.training_seconds = state["training_seconds"]
        self.outcome.evaluation_seconds = state["evaluation_seconds"]
        self.outcome.earlier_seconds = state["earlier_seconds"]
        return state["step"]

    def _tensors(self) -> list[Tensor]:
        """Parameters and buffers, those too that a network does not show in its state."""
        return [*self.network.parameters(), *self.network.buffers()]

    def _step(self, step: int) -> None:
        lr = learning_rate(self.training, step)
        set_learning_rate(self.optimizer, lr)
        set_noise(self.network, self.seed, step)
        batch = self.batches.at(step)
        before = parameters(self.network) if self.observer.due(step) else None
        loss = self.take_step(batch)
        self.pending += 1
        if step == 0:
            self._begin_observing()
        if before is not None:
            self.outcome.training_seconds += self._lap()
            self.observer.observe(step, lr, before, batch, loss.clone())
            self._lap()  # the observer has counted it, probe by probe

    def _begin_observing(self) -> None:
        self.outcome.training_seconds += self._lap()
        self.observer.begin()
        self._lap()  # for probes, not for training

    def _evaluate(self, step: int, limit: int | None) -> None:
        self.outcome.training_seconds += self._lap()
        row: dict[str, Any] = {"step": step}
        limits = {"train": training_samples(self.dataset, limit)}
        with evaluation_weights(self.optimizer, self.rule.averages), self.statistics.after(step):
            for name, title in _EVALUATED.items():
                most = limits.get(name, limit)
                loss, accuracy = evaluate(self.network, self.dataset, name, most)
                row |= {f"{title}_loss": loss, f"{title}_accuracy": accuracy}
        self.outcome.evaluations.append(row)
        self.outcome.evaluation_seconds += self._lap()

    def _lap(self) -> float:
        """Seconds since the last lap, all work queued in it done."""
        began, self.lap = self.lap, synchronized_time(self.dataset.train.inputs.device)
        return self.lap - began

    def _check_divergence(self) -> None:
        """Bring the pending losses to the host, and see whether one of them has diverged."""
        first = len(self.losses)
        losses, hits = self.take_step.buffer.newest(self.pending)
        self.losses += losses.tolist()
        size = self.training["batch_size"] or len(self.dataset.train.targets)
        classes = self.dataset.task.loss == "cross_entropy"
        self.accuracies += (hits.double() / size).tolist() if classes else [None] * self.pending
        self.pending = 0
        note(len(self.losses), self.training["steps"], self.losses[-1])
        limit = self.training["divergence_factor"] * abs(self.losses[0])
        self.outcome.diverged_step = next(
            (t for t in range(first, len(self.losses)) if not _in_bounds(self.losses[t], limit)),
            None,
        )

    def _finish(self) -> Outcome:
        """Fill in the outcome, without what came between a divergence and the look at it."""
        self.outcome.training_seconds += self._lap()
        end = self.outcome.diverged_step
        self.outcome.steps_taken = len(self.losses)
        done = len(self.losses) if end is None else min(end + 1, len(self.losses))
        self.outcome.curve = {
            "step": list(range(done)),
            "lr": [learning_rate(self.training, step) for step in range(done)],
            "train_loss": self.losses[:done],
            "train_accuracy": self.accuracies[:done],
        }
        last = self.training["steps"] if end is None else end
        self.outcome.evaluations = [r for r in self.outcome.evaluations if r["step"] <= last]
        kept = {
            name: [block for block in blocks if block["step"][0] <= last]
            for name, blocks in self.observer.blocks.items()
        }
        self.outcome.probes = {name: blocks for name, blocks in kept.items() if blocks}
        self.outcome.probe_seconds = dict(self.observer.seconds)
        self.outcome.probe_memory = dict(self.observer.peak.parts)
        self.outcome.peak_memory = self.observer.peak.highest()
        return self.outcome


def why_not_captured(settings: Mapping[str, Any], rule: UpdateRule) -> str | None:
    """Why a CUDA graph cannot hold a cell's step; None if it can."""
    if traits_of(settings["normalizer"]).host_state:
        names = "+".join(member["name"] for member in settings["normalizer"])
        return f"normalizer {names}: its step needs the host (trait host_state)"
    if not rule.capturable:
        name = optimizer_name(settings["training"])
        return f"optimizer {name}: its step needs the host (it is not capturable)"
    return None


def _in_bounds(loss: float, limit: float) -> bool:
    return math.isfinite(loss) and loss <= limit


def _finite(row: Mapping[str, Any]) -> bool:
    return all(math.isfinite(value) for value in row.values() if value is not None)
