"""A small plausible store, written without training anything: the analysis's test bed.

Each cell's numbers come from its own generator, seeded by its settings alone, so the order in which
cells are written changes nothing. What is planted (see `TRUTH`): faster normalizers reach a lower
loss, have a *larger* gradient ICS and a smoother landscape, as the paper reports for batch.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.store.filesystem import SCHEMA
from pipeline.store.store import Store
from tests.helpers.stores import synthetic_probes
from tests.helpers.stores.synthetic_probes import layers

CLASSES = 10

Cell = tuple[str, float, int]
"""(normalizer, lr, seed): the cells of all architectures that a keyword below speaks of."""


class Truth(NamedTuple):
    """What is planted for a normalizer: its factors, against ``none`` where all are 1."""

    speed: float
    ics: float
    smooth: float


TRUTH = {"none": Truth(1, 1, 1), "batch": Truth(4, 5, 0.2), "layer": Truth(2, 2, 0.5)}
OTHER = Truth(1.5, 1.5, 0.8)


def write_store(
    folder: Path,
    *,
    architectures: Sequence[str] = ("resnet20", "vgg11(width=0.25)"),
    normalizers: Sequence[str] = ("none", "batch", "layer"),
    lrs: Sequence[float] = (0.01, 0.1),
    seeds: Sequence[int] = (0, 1, 2),
    steps: int = 40,
    every: int = 5,
    data: str = "digits",
    regression: bool = False,
    sweep: str = "synthetic",
    rng_seed: int = 0,
    noise: float = 0.05,
    diverge: Collection[Cell] | None = None,
    stuck: Collection[Cell] = (),
    failed: Collection[Cell] = (),
    missing: Collection[Cell] = (),
    tables: Collection[str] | None = None,
    budget: Collection[Cell] = (),
    order: int | None = None,
) -> None:
    """Write the plan and the cells of architectures × normalizers × lrs × seeds into ``folder``.

    Args:
        diverge: cells that diverge in mid-run; by default ``none`` at the highest of several
            learning rates, for even seeds.
        stuck: cells that stay at their initial loss.
        failed: cells with a ``failure.json``. missing: planned cells with nothing.
        tables: the record tables to write; by default `FIRST`.
        budget: cells that their time limit cut in mid-run.
        order: shuffles the order of writing and of the plan with this seed.
    """
    if diverge is None:
        even = [seed for seed in seeds if seed % 2 == 0]
        diverge = [("none", max(lrs), seed) for seed in even] if len(lrs) > 1 else []
    store = Store(str(folder))
    grid = list(itertools.product(architectures, normalizers, lrs, seeds))
    if order is not None:
        grid = [grid[i] for i in np.random.default_rng(order).permutation(len(grid))]
    plan: dict[str, Any] = {"schema": SCHEMA, "name": sweep, "description": "synthetic"}
    plan |= {"cells": [], "settings": {}, "labels": {}}
    for architecture, normalizer, lr, seed in grid:
        settings = _settings(data, architecture, normalizer, lr, seed, steps, every)
        cell_id = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]
        labels = {"data": data, "architecture": architecture, "normalizer": normalizer}
        labels |= {"lr": lr, "seed": seed, "training": ""}
        plan["cells"].append(cell_id)
        plan["settings"][cell_id] = settings
        plan["labels"][cell_id] = labels
        cell = (normalizer, lr, seed)
        if cell in missing:
            continue
        if cell in failed:
            failure = {"schema": SCHEMA, "cell_id": cell_id, "labels": labels, "traceback": "…"}
            why = {"error": "RuntimeError: planted", "time": "2025-01-01T00:00:00Z"}
            store.write_failure({**failure, **why})
            continue
        run = _Run(settings, labels, rng_seed, noise, cell in diverge, cell in stuck, regression)
        names = FIRST if tables is None else tables
        records = {name: pa.table(RECORDS[name](run)) for name in names}
        result = _result(cell_id, run)
        if cell in budget:
            result |= {"status": "time_limit", "summary": result["summary"] | CUT}
        store.write_result(result, records)
    store.write_plan(plan)


def _settings(
    data: str, architecture: str, normalizer: str, lr: float, seed: int, steps: int, every: int
) -> dict[str, Any]:
    training = {"steps": steps, "batch_size": 128, "optimizer": "sgd", "lr": lr, "momentum": 0.0}
    return {
        "data": {"name": data},
        "architecture": {"name": architecture.split("(")[0]},
        "normalizer": [{"name": name} for name in normalizer.split("+")],
        "training": {**training, "evaluate_every": every, "schedule": "constant"},
        "probes": {name: {"every": every} for name in ("gradient_ics", "moment_ics", "landscape")},
        "seed": seed,
    }


class _Run:
    """One cell's curve, from which its records and its result follow."""

    def __init__(
        self,
        settings: dict[str, Any],
        labels: dict[str, Any],
        rng_seed: int,
        noise: float,
        diverges: bool,
        stuck: bool,
        regression: bool,
    ) -> None:
        digest = hashlib.sha256(json.dumps([settings, rng_seed]).encode()).digest()
        self.rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        self.settings, self.labels, self.noise = settings, labels, noise
        self.regression = regression
        self.truth = TRUTH.get(labels["normalizer"], OTHER)
        steps, self.lr = settings["training"]["steps"], labels["lr"]
        self.diverged_step = steps // 2 if diverges else None
        self.steps = steps // 2 + 1 if diverges else steps
        time = np.arange(steps + 1) / steps
        rate = 0.0 if stuck else self.truth.speed * 1.5 * (self.lr / 0.1) ** 0.25
        start = self.chance = 100.0 if regression else float(np.log(CLASSES))
        jitter = 0.02 if stuck else noise
        self.loss = start * np.exp(-rate * time) * np.exp(jitter * self.rng.normal(size=steps + 1))
        self.accuracy = 1 - (1 - 1 / CLASSES) * (self.loss / self.loss.max())
        self.probed = np.arange(0, self.steps, settings["training"]["evaluate_every"])

    def scatter(self, value: Any, shape: Any = None) -> np.ndarray:
        """Value, with multiplicative noise."""
        return np.asarray(value * np.exp(self.noise * self.rng.normal(size=shape)))


def _training(run: _Run) -> dict[str, Any]:
    count = run.steps if run.diverged_step is not None else run.steps + 1
    step = np.arange(count)
    loss = run.loss[:count].copy()
    evaluated = step % run.settings["training"]["evaluate_every"] == 0
    evaluated[-1] = True
    if run.diverged_step is not None:
        loss[-1] = np.nan
        evaluated[-1] = False
    known = np.full(count, np.nan) if run.regression else run.accuracy[:count]
    rows: dict[str, Any] = {"step": step, "lr": np.full(count, run.lr)}
    rows |= {"train_loss": loss, "train_accuracy": known.copy()}
    for split, gap in (("validation", 1.05), ("test", 1.1)):
        rows[f"{split}_loss"] = np.where(evaluated, loss * gap, np.nan)
        rows[f"{split}_accuracy"] = np.where(evaluated, known / gap, np.nan)
    if run.diverged_step is None:
        rows["train_loss"] = np.where(step == run.steps, np.nan, loss)
        rows["train_accuracy"] = np.where(step == run.steps, np.nan, known)
    return rows


def _gradient_ics(run: _Run) -> dict[str, Any]:
    rows = layers(run)
    moves = rows["index"] > 1
    norm = run.scatter(run.loss[rows["step"]], len(moves))
    relative = np.where(moves, run.scatter(0.1 * run.truth.ics, len(moves)), 0.0)
    rows |= {"gradient_norm": norm, "l2": relative * norm, "relative": relative}
    cosine = np.maximum(1 - 0.15 * run.scatter(run.truth.ics, len(moves)), -1)
    rows["cosine"] = np.where(moves, cosine, 1.0)
    return rows | {"per_update": np.where(moves, relative * norm / run.lr, np.nan)}


def _moment_ics(run: _Run) -> dict[str, Any]:
    activation, output = _moments(run, "activation"), _moments(run, "output")
    return {name: [*activation[name], *output[name]] for name in activation}


def _moments(run: _Run, place: str) -> dict[str, Any]:
    rows = layers(run)
    size = len(rows["step"])
    for name, scale in (("mean_shift", 0.02), ("log_std_shift", 0.01)):
        value = run.scatter(scale * np.sqrt(run.truth.ics), size)
        rows |= {name: value, f"{name}_p90": 2 * value, f"{name}_per_update": value / run.lr}
        drift = value * np.sqrt(1 + rows["step"])
        drift = np.where(rows["step"] == 0, 0.0, drift)
        name = name.replace("shift", "drift")
        rows |= {name: drift, f"{name}_p90": 2 * drift}
    for quantile, center in (("q05", -1.6), ("q25", -0.7), ("q50", 0), ("q75", 0.7), ("q95", 1.6)):
        rows[quantile] = center + 0.1 * run.rng.normal(size=size)
    return rows | {"dead": np.zeros(size), "place": [place] * size}


def _landscape(run: _Run) -> dict[str, Any]:
    kinds = list(itertools.product(("lr", "common"), ("gradient", "random")))
    step = np.repeat(run.probed, len(kinds))
    size = len(step)
    ranges, directions = zip(*(kinds * len(run.probed)), strict=True)
    loss = run.loss[step]
    relative = run.scatter(0.5 * run.truth.smooth, size)
    beta = run.scatter(20 * run.truth.smooth, size)
    rows: dict[str, Any] = {"step": step, "range": ranges, "direction": directions}
    rows |= {"lengths": np.full(size, 8), "length_min": np.full(size, run.lr / 2)}
    rows |= {"length_max": np.full(size, min(4 * run.lr, 0.4)), "loss": loss}
    rows |= {"loss_min": loss * (1 - relative / 2), "loss_max": loss * (1 + relative / 2)}
    rows |= {"loss_range": loss * relative, "loss_range_relative": relative}
    rows |= {"gradient_norm": loss, "gradient_difference_min": 0.1 * loss * relative}
    rows |= {"gradient_difference_max": 2 * loss * relative}
    cosine = np.maximum(1 - relative, -1)
    rows |= {"gradient_difference_relative": 2 * relative, "cosine_min": cosine}
    return rows | {"effective_beta": beta}


RECORDS = {
    "training": _training,
    "gradient_ics": _gradient_ics,
    "moment_ics": _moment_ics,
    "landscape": _landscape,
    "curvature": synthetic_probes.curvature,
    "scale_invariant": synthetic_probes.scale_invariant,
    "cross_layer": synthetic_probes.cross_layer,
    "sharpness": synthetic_probes.sharpness,
    "descent_lemma": synthetic_probes.descent_lemma,
    "gradient_noise": synthetic_probes.gradient_noise,
    "distribution_ics": synthetic_probes.distribution_ics,
    "batchnorm_theorems": synthetic_probes.batchnorm_theorems,
    "signal_propagation": synthetic_probes.signal_propagation,
}
FIRST = ("training", "gradient_ics", "moment_ics", "landscape")
"""What tests read that are not about the other probes: fewer files to write."""


CUT = dict.fromkeys(f"{s}_{v}" for s in ("validation", "test") for v in ("loss", "accuracy"))
"""What the summary of a cut run does not know."""


def _result(cell_id: str, run: _Run) -> dict[str, Any]:
    done = run.diverged_step is None
    tail = run.loss[: run.steps][-max(1, run.steps // 20) :]
    known = done and not run.regression
    summary = {"steps": run.steps, "chance_loss": run.chance, "initial_loss": float(run.loss[0])}
    summary |= {"final_train_loss": float(tail.mean()) if done else None}
    for split, gap in (("train", 1.0), ("validation", 1.05), ("test", 1.1)):
        if split != "train":
            summary[f"{split}_loss"] = float(run.loss[-1] * gap) if done else None
        summary[f"{split}_accuracy"] = float(run.accuracy[-1] / gap) if known else None
    slow = 1.0 if run.labels["normalizer"] == "none" else 1.25
    cost: dict[str, Any] = {"seconds": 2.0, "training_seconds": 1.0, "evaluation_seconds": 0.1}
    cost |= {"probe_seconds": {"gradient_ics": 0.5, "moment_ics": 0.1, "landscape": 0.3}}
    cost |= {"seconds_per_step": float(run.scatter(0.02 * slow)), "peak_memory_bytes": None}
    provenance: dict[str, Any] = {"commit": "c0ffee", "dirty": False, "lock": "10c4"}
    provenance |= {"versions": {"torch": "2.15.0", "python": "3.11.9"}, "device": "cpu"}
    provenance |= {"threads": 1, "data_digest": "d161", "time": "2025-01-01T00:00:00Z", "host": "h"}
    return {
        "schema": SCHEMA,
        "cell_id": cell_id,
        "status": "ok" if done else "diverged",
        "diverged_step": run.diverged_step,
        "settings": run.settings,
        "labels": run.labels,
        "summary": {**summary, "parameters": 12345},
        "cost": cost,
        "provenance": provenance,
    }
