"""Which cells cannot run whatever the machine: each distinct network is built once, beforehand.

The batches must fit the data, too. A network is built and run forward on torch's meta device, whose
tensors have shapes and no values. What fails there counts only if it fails with real tensors too.
Outcomes are kept in ``NORMSCOPE_CACHE`` by settings, code and version of torch, so that a second
look needs no torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cli import redact
from pipeline.package_version import package_version
from pipeline.spec import Cell, optimizer_of
from pipeline.store import write_atomic
from pipeline.trial.source_digest import code_digest, source_digests

if TYPE_CHECKING:
    from pipeline.data import Task

_UNKNOWN = "?"
"""The outcome of a network whose dataset has to be read first; any other text is an error."""
_OURS = ("pipeline.sweep.forecast.buildable",)
_PACKAGES = ("torch", "torchvision", "timm", "schedulefree")
"""On whose versions an outcome may depend; one that is missing may come."""
_KEPT = 20_000
"""Outcomes kept at most."""
_MANY = 10
"""Networks whose check takes seconds, and is announced."""
_FULL_BATCH = 128
"""Samples that stand for a full batch, whose size only the data tell."""


@dataclass
class Checked:
    """What is known of cells before they run."""

    errors: dict[str, list[Cell]] = field(default_factory=dict)
    """Cells that cannot run, by their error."""
    unknown: list[Cell] = field(default_factory=list)
    """Cells whose network and batches are known only once their data are read."""


def check_networks(cells: Sequence[Cell]) -> Checked:
    """Build each distinct network and optimizer of the cells, or remember how that ended."""
    groups = _groups(cells)
    keys = {group: _key(members[0]) for group, members in groups.items()}
    outcomes = _remembered()
    missing = {keys[group]: members[0] for group, members in groups.items()}
    missing = {key: cell for key, cell in missing.items() if key not in outcomes}
    if missing:
        outcomes |= _build(missing)
        _remember(outcomes)
    checked, errors = Checked(), defaultdict(list)
    for group, members in groups.items():
        outcome = outcomes[keys[group]]
        if outcome == _UNKNOWN:
            checked.unknown += members
        elif outcome:
            errors[outcome] += members
    checked.errors = dict(errors)
    return checked


def refusal(checked: Checked) -> str:
    """One line for each error: how many cells it concerns, and one of their networks."""
    return "\n".join(
        f"{len(cells)} cells cannot run, e.g. {_network(cells[0])}: {error}"
        for error, cells in checked.errors.items()
    )


def _network(cell: Cell) -> str:
    labels = cell.labels
    return f"{labels['architecture']} with {labels['normalizer']} on {labels['data']}"


def _optimizer(training: Mapping[str, Any]) -> str:
    return json.dumps(optimizer_of(training), sort_keys=True)


def _groups(cells: Iterable[Cell]) -> dict[tuple[object, ...], list[Cell]]:
    """Cells by what is tried: they share the settings that the sweep file resolves once."""
    groups: dict[tuple[object, ...], list[Cell]] = defaultdict(list)
    for cell in cells:
        own = cell.settings
        parts = (id(own["data"]), id(own["architecture"]), id(own["normalizer"]))
        groups[(*parts, _optimizer(own["training"]), *_batches(own))].append(cell)
    return groups


def _batches(settings: Mapping[str, Any]) -> tuple[int | None, int, str]:
    """The batch size, the largest of a probe's own, and the augmentation."""
    own = [options["batch_size"] or 0 for options in settings["probes"].values()]
    training = settings["training"]
    return training["batch_size"], max(own, default=0), " ".join(training["augment"])


def _key(cell: Cell) -> str:
    settings = cell.settings
    files = {key: each for key, each in cell.contents.items() if key.startswith("architecture.")}
    named = {key: settings[key] for key in ("data", "architecture", "normalizer")}
    training = settings["training"]
    sources = source_digests({**named, "training": training, "probes": {}})
    sources |= {"check": code_digest(_OURS)}
    versions = [package_version(name) for name in _PACKAGES]
    own = [*_batches(settings), _optimizer(training)]
    text = json.dumps([named, files, own, sources, versions], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _build(cells: Mapping[str, Cell]) -> dict[str, str]:
    if len(cells) >= _MANY:
        print(f"building {len(cells)} networks once, without values …", file=sys.stderr)
    return {key: _outcome(cell.settings) for key, cell in cells.items()}


def _outcome(settings: Mapping[str, Any]) -> str:
    """Why a network cannot be built or run, or its batches not be made; empty if all can."""
    from pipeline.data._tasks import known_task

    task = known_task(settings["data"])
    if task is None:
        return _UNKNOWN
    unfit = _unfit(settings, task)
    return unfit or (_tried(settings, task, "meta") and _tried(settings, task, "cpu"))


def _unfit(settings: Mapping[str, Any], task: Task) -> str:
    """Why the data cannot give such batches, in the words of the trial that would fail."""
    from pipeline.data._tasks import known_samples
    from pipeline.training.batches import refuse_probe_batch, refuse_unfit

    samples, training = known_samples(settings["data"]), settings["training"]
    if samples is None:
        return ""
    try:
        refuse_unfit(training["batch_size"], samples, training["augment"], task.input_shape)
        if largest := _batches(settings)[1]:
            refuse_probe_batch(largest, samples)
    except ValueError as error:
        return f"ValueError: {error}"
    return ""


def _tried(settings: Mapping[str, Any], task: Task, device: str) -> str:
    try:
        _run_once(settings, task, device)
    except Exception as error:  # whatever it is, a trial would end with it
        first = str(error).partition("\n")[0]
        return redact(f"{type(error).__name__}: {first}")
    return ""


def _run_once(settings: Mapping[str, Any], task: Task, device: str) -> None:
    """Build a cell's network on a device and give it a batch; make its optimizer.

    A generator of noise exists on no meta device: a normalizer that draws any is shown as it
    evaluates.
    """
    import torch

    from pipeline.training.optimizer import optimizer
    from pipeline.trial.run import build

    samples = settings["training"]["batch_size"] or _FULL_BATCH
    with torch.device(device), torch.no_grad():
        network, norm = build(settings, task)
        norm.initialize(network)
        inputs = torch.zeros(samples, *task.input_shape)
        norm.calibrate(network, inputs)
        network.train(not norm.traits.noise)(inputs)
        optimizer(network, settings["training"])


def _file() -> Path:
    folder = os.environ.get("NORMSCOPE_CACHE") or "~/.cache/normscope"
    return Path(folder).expanduser() / "networks.json"


def _remembered() -> dict[str, str]:
    """Outcomes of earlier looks; none where the file is missing or damaged."""
    with suppress(OSError, ValueError):
        found = json.loads(_file().read_text(encoding="utf-8"))
        if isinstance(found, dict) and all(isinstance(each, str) for each in found.values()):
            return found
    return {}


def _remember(outcomes: Mapping[str, str]) -> None:
    with suppress(OSError):  # a second look then takes as long as the first
        latest = dict(list(outcomes.items())[-_KEPT:])
        write_atomic(str(_file()), json.dumps(latest).encode())
