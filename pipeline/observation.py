"""The probes of a cell: when each is due, what it is shown, what it records and costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pipeline import catalog, measure
from pipeline.architectures import Network
from pipeline.batches import probe_batch
from pipeline.clock import settled_time
from pipeline.data import Batch, Dataset
from pipeline.measure import Params, View
from pipeline.seeds import derive
from pipeline.spec import CADENCE, cadence_steps

_PROBE_BATCH = 128
"""Samples of the fixed probe batch (all there are, where the training split has fewer)."""


class Observer:
    """Shows the cell's probes the steps that they asked for."""

    def __init__(self, settings: Mapping[str, Any], dataset: Dataset, network: Network) -> None:
        self._network, self._seed = network, settings["seed"]
        self._functions, self._steps = {}, {}
        for name, options in settings["probes"].items():
            own = {key: value for key, value in options.items() if key not in CADENCE}
            self._functions[name] = (catalog.load(catalog.parts("probes")[name]), own)
            self._steps[name] = cadence_steps(options, settings["training"]["steps"])
        self._any = frozenset().union(*self._steps.values())
        self._memory: dict[str, dict[str, Any]] = defaultdict(dict)
        self.blocks: dict[str, list[dict[str, Any]]] = defaultdict(list)
        """By probe: its records, columns of one step each."""
        self.seconds: dict[str, float] = defaultdict(float)
        """By probe: wall time."""
        if self._any:
            self._initial = measure.parameters(network)
            self._batch = probe_batch(dataset, min(_PROBE_BATCH, len(dataset.train.targets)))

    def due(self, step: int) -> bool:
        """Whether any probe wants this step: only then are copies of the parameters made."""
        return step in self._any

    def observe(self, step: int, lr: float, before: Params, batch: Batch, value: Tensor) -> None:
        """Run the probes of a step that the optimizer has just taken from ``before``."""
        after = measure.parameters(self._network)
        grad = {
            name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            for name, parameter in self._network.named_parameters()
        }
        for name in (name for name, steps in self._steps.items() if step in steps):
            start = settled_time(value.device)
            view = View(
                network=self._network,
                step=step,
                lr=lr,
                initial=self._initial,
                before=before,
                after=after,
                grad=grad,
                value=value,
                batch=batch,
                probe_batch=self._batch,
                seed=self._seed,
                rng=self._generator(name, step, value.device),
                memory=self._memory[name],
            )
            function, options = self._functions[name]
            with measure.untouched(self._network):
                records = function(view, **options)
            self.blocks[name].append(_on_host(records, step))
            self.seconds[name] += settled_time(value.device) - start

    def _generator(self, name: str, step: int, device: torch.device) -> torch.Generator:
        return torch.Generator(device).manual_seed(derive(self._seed, "probe", name, step))


def _on_host(records: measure.Records, step: int) -> dict[str, Any]:
    columns = {k: v.tolist() if isinstance(v, Tensor) else list(v) for k, v in records.items()}
    rows = len(next(iter(columns.values())))
    return {"step": [step] * rows, **columns}
