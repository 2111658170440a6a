"""The probes of a cell: when each is due, what it is shown, what it records and costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pipeline.architectures import Network
from pipeline.catalog import registry as catalog
from pipeline.data import Batch, Dataset
from pipeline.normalizers import Traits, compose
from pipeline.probes._vectors import Params, buffers, parameters
from pipeline.probes._view import Mode, Records, View, preserve_state
from pipeline.seeds import derive
from pipeline.spec import COMMON, cadence_steps
from pipeline.training.batches import drawn_batch, other_batch, probe_batch
from pipeline.training.evaluation_statistics import EvaluationStatistics
from pipeline.training.memory import PeakMemory
from pipeline.training.metering import synchronized_time

_PROBE_BATCH = 128
"""Samples of the fixed probe batch (all there are, where the training split has fewer)."""


_OF_FUNCTION = ("batch", "loss_value", "grad", "shared")
"""Fields of a view that probes which see the same function on the same batch have in common."""


class Look(NamedTuple):
    """The function and the batches that a probe asks to see."""

    mode: Mode
    batch: str
    size: int


def traits_of(configs: Sequence[Any]) -> Traits:
    """The joined traits of a cell's normalizers, from their settings."""
    return compose([catalog.make("normalizers", config) for config in configs]).traits


class ProbeRunner:
    """Shows the cell's probes the steps that they asked for.

    Args:
        settings: the cell's: its seed, training and probes; its normalizers where no traits are
            given.
        dataset: whose training split the probe batches are of.
        network: initialized; it is θ_0.
        traits: the normalizers'; None: they are made of the settings.

    Raises:
        ValueError: if a probe asks for a probe batch larger than the training split.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        dataset: Dataset,
        network: Network,
        statistics: EvaluationStatistics | None,
        traits: Traits | None = None,
    ) -> None:
        self._network, self._seed = network, settings["seed"]
        self._statistics = statistics
        self._initial_buffers: dict[Mode, Params] = {}
        self._dataset, self._augment = dataset, settings["training"]["augment"]
        self._functions = {}
        self._steps: dict[str, Container[int]] = {}
        self._looks: dict[str, Look] = {}
        # By name, whatever the file's order: so is what a later one finds of an earlier one.
        for name, options in sorted(settings["probes"].items()):
            own = {key: value for key, value in options.items() if key not in COMMON}
            self._functions[name] = (catalog.load(catalog.parts("probes")[name]), own)
            self._steps[name] = self._cadence(options, settings["training"]["steps"])
            size = options["batch_size"] or min(_PROBE_BATCH, len(dataset.train.targets))
            self._looks[name] = Look(options["mode"], options["batch"], size)
        self._rounded = settings["training"].get("precision", "float32") != "float32"
        self._memory: dict[str, dict[str, Any]] = defaultdict(dict)
        self.blocks: dict[str, list[dict[str, Any]]] = defaultdict(list)
        """By probe: its records, columns of one step each."""
        self.seconds: dict[str, float] = defaultdict(float)
        """By probe: wall time. What probes share is paid by the first of them."""
        self.peak = PeakMemory(dataset.train.inputs.device)
        """By probe: the most memory that it held at once beyond what was there before it."""
        if self._steps:
            self._initial = parameters(network)
            self._traits = traits or traits_of(settings["normalizer"])
            sizes = {look.size for look in self._looks.values()}
            self._fixed = {n: (probe_batch(dataset, n), other_batch(dataset, n)) for n in sizes}

    def due(self, step: int) -> bool:
        """Whether any probe wants this step: only then are copies of the parameters made."""
        return any(step in steps for steps in self._steps.values())

    def begin(self) -> None:
        """Keep the buffers of θ_0, in each mode that is asked for: step 0 has run, not updated."""
        modes: set[Mode] = {look.mode for look in self._looks.values()}
        for mode in modes:
            with self._statistics_of(mode, 0, self._initial):
                self._initial_buffers[mode] = buffers(self._network)

    def observe(self, step: int, lr: float, before: Params, batch: Batch, value: Tensor) -> None:
        """Run the probes of a step that the optimizer has just taken from ``before``."""
        taken = {
            "step": step,
            "lr": lr,
            "initial": self._initial,
            "before": before,
            "after": parameters(self._network),
        }
        grad = {
            name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            for name, parameter in self._network.named_parameters()
        }
        seen: dict[Look, dict[str, Any]] = {}
        for name in (name for name, steps in self._steps.items() if step in steps):
            own = {"batch": batch, "loss_value": value, "grad": grad, "shared": {}}
            self._measure(name, taken | own, seen)

    def _measure(
        self, name: str, taken: Mapping[str, Any], seen: dict[Look, dict[str, Any]]
    ) -> None:
        """Run one probe; ``seen`` has what probes of this step before it have computed."""
        look, step, device = self._looks[name], taken["step"], taken["loss_value"].device
        with (
            self._metered(name, device),
            preserve_state(self._network, look.mode),
            self._statistics_of(look.mode, step, taken["before"]),
        ):
            rng = self._generator(name, step)
            view = self._view(look, rng, self._memory[name], {**taken, **seen.get(look, {})})
            if look not in seen:
                view = self._own_function(view, look)
                seen[look] = {key: getattr(view, key) for key in _OF_FUNCTION}
            function, options = self._functions[name]
            records = function(view, **options)
            _refuse_no_columns(name, records)
            block = _on_host(records, step)
            _refuse_uneven(name, block)
        if block["step"]:  # a probe may have nothing to measure in such a network
            self.blocks[name].append(block)

    def state(self) -> dict[str, Any]:
        """All that a checkpoint must keep for `restore` to go on from."""
        return {
            "memory": self._memory,
            "initial_buffers": self._initial_buffers,
            "blocks": self.blocks,
            "seconds": self.seconds,
            "peak": self.peak.parts,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, in an observer made of the same settings and initial weights."""
        self._memory.update(state["memory"])
        self._initial_buffers.update(state["initial_buffers"])
        self.blocks.update(state["blocks"])
        self.seconds.update(state["seconds"])
        self.peak.parts.update(state["peak"])

    def _view(
        self,
        look: Look,
        rng: torch.Generator,
        memory: dict[str, Any],
        of_step: Mapping[str, Any],
    ) -> View:
        probe, other = self._fixed[look.size]
        augment = self._augment if look.batch == "step" else ()
        return View(
            network=self._network,
            probe_batch=probe,
            second_probe_batch=other,
            sample_batch=partial(drawn_batch, self._dataset, augment, rng),
            traits=self._traits,
            mode=look.mode,
            initial_buffers=self._initial_buffers[look.mode],
            seed=self._seed,
            rng=rng,
            memory=memory,
            **of_step,
        )

    def _own_function(self, view: View, look: Look) -> View:
        """The view on the batch that is asked for, with what is to be computed for it.

        Probes compare losses and gradients with those that they compute in float32. So those of a
        step in another precision are computed anew.
        """
        if look.batch == "probe":
            view = replace(view, batch=view.probe_batch)
        elif look.mode == "train" and not self._rounded:
            return view  # the step has computed it
        return computed(view)

    def _cadence(self, options: Mapping[str, Any], steps: int) -> Container[int]:
        """The steps that a probe observes."""
        return cadence_steps(options, steps)

    def _statistics_of(self, mode: Mode, step: int, before: Params) -> AbstractContextManager[None]:
        """Context manager within which the buffers are those of a mode, at θ_t, after step t."""
        if mode == "train" or self._statistics is None:
            return nullcontext()
        return self._statistics.after(step + 1, before)

    @contextmanager
    def _metered(self, name: str, device: torch.device) -> Iterator[None]:
        start = synchronized_time(device)
        with self.peak.measure(name):
            yield
        self.seconds[name] += synchronized_time(device) - start

    def _generator(self, name: str, step: int) -> torch.Generator:
        return torch.Generator().manual_seed(derive(self._seed, "probe", name, step))


def computed(view: View) -> View:
    """The view with the loss and the gradient at θ_t on its batch, computed anew."""
    value, grad = view.value_and_gradient(view.before, view.batch)
    return replace(view, loss_value=value, grad=grad)


def _refuse_no_columns(name: str, records: object) -> None:
    if not isinstance(records, Mapping) or not records:
        found = "an empty mapping" if isinstance(records, Mapping) else type(records).__name__
        raise ValueError(f"probe {name}: must return columns by name, not {found}")


def _refuse_uneven(name: str, block: Mapping[str, Sequence[Any]]) -> None:
    sizes = {column: len(values) for column, values in block.items()}
    if len(set(sizes.values())) > 1:
        lengths = ", ".join(f"{column} {size}" for column, size in sizes.items())
        raise ValueError(f"probe {name}: its columns must be of one length, not {lengths}")


def _on_host(records: Records, step: int) -> dict[str, Any]:
    columns = {k: v.tolist() if isinstance(v, Tensor) else list(v) for k, v in records.items()}
    rows = len(next(iter(columns.values())))
    return {"step": [step] * rows, **columns}
