"""What probes cost in gradients: each alone, and the default set's share of a training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks._timing import UNIT, Seconds, interleaved
from benchmarks._training_loops import Variant, block_of
from pipeline.data import Dataset
from pipeline.probes._vectors import parameters
from pipeline.probes._view import View, preserve_state
from pipeline.probes.gradient_ics import gradient_ics
from pipeline.probes.landscape import landscape
from pipeline.spec.read import cadence_steps, read_sweep
from pipeline.training.evaluation_statistics import EvaluationStatistics
from pipeline.training.metering import synchronized_time
from pipeline.training.probe_runner import ProbeRunner
from tests.helpers.training.scene import LR, Scene, scene

PLAN = "sweeps/normalizers.yaml"
LENGTHS = 8
STEPS = 10
"""Training steps timed for every measurement of all probes, which takes hundreds of steps' time."""


def passes(made: Scene, view: View, rounds: int) -> Seconds:
    """Seconds of gradient_ics over all layers, of landscape over one line, and of G."""

    def run(probe: Any, **options: Any) -> None:
        with preserve_state(view.network):
            probe(view, **options)

    actions = {
        UNIT: lambda: made.gradient(view.batch),
        "gradient_ics": lambda: run(gradient_ics),
        "landscape": lambda: run(landscape, lengths=LENGTHS),
    }
    return interleaved(actions, view.loss_value.device, rounds)


@dataclass(frozen=True)
class Share:
    """What the probes of a sweep file cost in one setting."""

    setting: str
    step: float
    """Seconds of a step of our loop without probes: in float32 on a CPU, on a GPU in the file's
    precision and as a CUDA graph."""
    times: Mapping[str, int]
    """By probe: how often it measures."""
    seconds: Mapping[str, float]
    """By probe: of one measurement."""
    steps: int

    def of(self, probe: str) -> float:
        """The probe's time over that of the training."""
        return self.times[probe] * self.seconds[probe] / (self.steps * self.step)


def shares(dataset: Dataset, batch_size: int, width: float, rounds: int) -> Iterator[Share]:
    """Of the file's probes, for each of its architectures with batch and without a normalizer."""
    chosen = {}
    for cell in read_sweep(PLAN).cells:
        parts = cell.settings["normalizer"][0]["name"], cell.settings["architecture"]["name"]
        if parts[0] in ("none", "batch"):
            chosen.setdefault(parts, cell.settings)
    for parts, settings in sorted(chosen.items(), key=lambda item: item[0][0]):
        yield _share(settings, parts[::-1], dataset, batch_size, width, rounds)


def _share(
    settings: Mapping[str, Any],
    parts: tuple[str, str],
    dataset: Dataset,
    batch_size: int,
    width: float,
    rounds: int,
) -> Share:
    device, precision = dataset.train.inputs.device, settings["training"]["precision"]
    graph = device.type == "cuda"
    architecture, normalizer = {**settings["architecture"], "width": width}, settings["normalizer"]
    way = Variant("ours", precision if graph else "float32", graph=graph)
    train = block_of(way, architecture, dataset, batch_size, STEPS, normalizer)
    made = scene(architecture, normalizer, dataset, batch_size, precision=way.precision)
    every = {
        name: {**options, "every": 1, "at": [], "log": None, "batch_size": batch_size}
        for name, options in settings["probes"].items()
    }
    statistics = EvaluationStatistics(made.network, made.batches)
    observer = ProbeRunner({**settings, "probes": every}, dataset, made.network, statistics)
    observer.begin()
    steps = []
    for _ in range(3):
        made.take()
    train()
    _observed(made, observer)  # not counted: what is found for the first time
    first = dict(observer.seconds)
    for _ in range(rounds):
        start = synchronized_time(device)
        train()
        steps.append((synchronized_time(device) - start) / STEPS)
        _observed(made, observer)
    planned = settings["training"]["steps"]
    return Share(
        setting=", ".join(parts),
        step=median(steps),
        times={n: len(cadence_steps(o, planned)) for n, o in settings["probes"].items()},
        seconds={n: (t - first[n]) / rounds for n, t in observer.seconds.items()},
        steps=planned,
    )


def _observed(made: Scene, observer: ProbeRunner) -> None:
    before, batch, step = parameters(made.network), made.batches.at(made.step), made.step
    value = made.take()
    observer.observe(step, LR, before, batch, value)
