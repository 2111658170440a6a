"""From a sweep file to validated cells, each with the id under which its result is kept.

    sweep = read_sweep("sweeps/quickstart.yaml", ["seeds=1"])

Importing this costs neither torch nor pydantic; the latter is loaded when a file is read.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.catalog import own_parts
from pipeline.catalog import registry as catalog
from pipeline.cli import SpecError, single_errors
from pipeline.spec.contents import name_of
from pipeline.spec.yaml_reader import read_yaml
from pipeline.store import SCHEMA

if TYPE_CHECKING:
    from pipeline.cli import Mistakes
    from pipeline.spec.schema import SweepFile

__all__ = ["Cell", "Resources", "SpecError", "Sweep", "cadence_steps", "plan", "read_sweep"]

CELL_VERSION = 3
"""Version of the settings' meaning; it is in every cell id. Raise it when the same settings come to
give other numbers: every finished cell then runs again. The files' version is the store's."""
COMMON = ("every", "at", "log", "mode", "batch", "batch_size")
"""The keys of a probe's settings that every probe has: when it measures, and what it is shown."""
KINDS = {"data": "data", "architecture": "architectures", "normalizer": "normalizers"}
"""The folder that a cell's setting names a part of."""


_APART = {"name", "description", "seeds", "resources", "parts"}
"""Keys of a file without which the others can be checked all the same."""


@dataclass(frozen=True)
class Cell:
    """One fully resolved point of a sweep. Cells share settings: never change them in place."""

    settings: dict[str, Any]
    """Data, architecture, normalizer (a list), training, probes, seed: all options filled in."""
    labels: dict[str, Any]
    """What tables and figures call it: data, architecture, normalizer, lr, seed, training."""
    cell_id: str
    contents: dict[str, str] = field(default_factory=dict)
    """Digests of what its locations contain, by key (``data.path``), where they could be read."""


@dataclass(frozen=True)
class Resources:
    """What one trial may occupy, and for how long."""

    cpus: int = 1
    gpus: float | Mapping[str, float] | None = None
    """For all, or by architecture; where not given: a whole one where there are any, else none."""
    time_limit: float | None = None
    """Seconds after which a trial ends with what it has (and is killed at twice that, if hung)."""
    checkpoint_minutes: float = 10.0
    """Minutes between two checkpoints of a trial."""
    cuda_graph: bool = True
    """Whether a GPU takes each training step as one CUDA graph."""

    def gpus_of(self, cell: Cell) -> float | None:
        """What is given for the cell's architecture, if anything."""
        if not isinstance(self.gpus, Mapping):
            return self.gpus
        return self.gpus.get(cell.settings["architecture"]["name"])


@dataclass(frozen=True)
class Sweep:
    """A sweep file, read: its cells in the order in which to run them."""

    name: str
    description: str
    cells: list[Cell]
    resources: Resources
    path: Path
    profile: str | None = None
    """The profile of the file that was chosen, if any."""
    notes: tuple[str, ...] = ()
    """What is odd in the file, but not wrong; with its line."""


def read_sweep(
    path: str | Path, overrides: Sequence[str] = (), profile: str | None = None
) -> Sweep:
    """Read a sweep file, apply a profile and ``KEY=VALUE`` overrides, and expand it into cells.

    Raises:
        SpecError: with a line for every mistake in the file or the overrides.
    """
    from pipeline.cli import Mistakes
    from pipeline.spec.expand import expand
    from pipeline.spec.overrides import override, reject_ineffective_overrides
    from pipeline.spec.profiles import with_profile

    data, lines = read_yaml(path)
    places = {key: f"{path}:{line}" for key, line in lines.items()} | {"": str(path)}
    mistakes, cells, idle = Mistakes(), [], []
    try:
        if isinstance(data, dict):
            data = with_profile(data, profile, places) if profile else data
            data = override(data, overrides, places)
        own = data.get("parts", []) if isinstance(data, dict) else []
        own_parts.use(own, Path(path).resolve().parent)
        file = _structure(data, mistakes)
        with mistakes.collected():
            reject_ineffective_overrides(overrides, file.grid, str(path))
        with mistakes.collected():
            cells, idle = expand(file)
        mistakes.report()
    except SpecError as error:
        raise error.with_location(places) from None
    resources = Resources(**file.resources.model_dump())
    notes = [f"{places.get(key, path)}: {key}: matches no cell of the grid" for key in idle]
    notes += [f"passed over: {line}" for line in catalog.passed_over()]
    return Sweep(file.name, file.description, cells, resources, Path(path), profile, tuple(notes))


def _structure(data: Any, mistakes: Mistakes) -> SweepFile:
    """Check a file's top level; what is wrong in a key that no cell depends on is collected."""
    from pipeline.catalog.validation import validate
    from pipeline.spec.schema import SweepFile

    try:
        return validate(SweepFile, data, "")
    except SpecError as error:
        wrong = {re.split(r"[.\[]", one.key)[0] for one in single_errors(error)}
        if not wrong <= _APART:
            raise
        mistakes.add(error)
    right = {key: value for key, value in data.items() if key not in wrong}
    return validate(SweepFile, right | ({"name": "unnamed"} if "name" in wrong else {}), "")


def plan(sweep: Sweep) -> dict[str, Any]:
    """What the store keeps of a sweep: its cells in order, their settings, labels and contents."""
    return {
        "schema": SCHEMA,
        "name": sweep.name,
        "description": sweep.description,
        "cells": [cell.cell_id for cell in sweep.cells],
        "settings": {cell.cell_id: cell.settings for cell in sweep.cells},
        "labels": {cell.cell_id: cell.labels for cell in sweep.cells},
        "contents": {cell.cell_id: cell.contents for cell in sweep.cells if cell.contents},
    }


_UNREAD: Mapping[str, str] = {}


def identify(settings: Mapping[str, Any], contents: Mapping[str, str] = _UNREAD) -> str:
    """Hash resolved settings into a cell id: 16 hex digits of the SHA-256 of canonical JSON.

    What can change a cell's numbers enters, and the schema's version; where its data are does not.

    Args:
        settings: of the cell.
        contents: digests of what its locations contain, by key; each other location enters by name.
    """
    return hashed(identity(settings, contents))


def hashed(identity: Mapping[str, Any]) -> str:
    """The id of what `identity` returns."""
    whole = {"version": CELL_VERSION, **identity}
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def identity(settings: Mapping[str, Any], contents: Mapping[str, str]) -> dict[str, Any]:
    """What of a cell's settings enters its id; cells of one point differ in the seed alone."""
    named = {
        "data": without_directories("data", settings["data"], "data", contents),
        "architecture": without_directories(
            "architectures", settings["architecture"], "architecture", contents
        ),
        "normalizer": [
            without_directories("normalizers", part, f"normalizer[{i}]", contents)
            for i, part in enumerate(settings["normalizer"])
        ],
        "probes": {
            name: without_directories(
                "probes", {"name": name, **options}, f"probes.{name}", contents
            )
            for name, options in settings["probes"].items()
        },
    }
    optimizer = settings["training"].get("optimizer")
    if isinstance(optimizer, Mapping):
        own = without_directories("optimizers", optimizer, "training.optimizer", contents)
        named["training"] = {**settings["training"], "optimizer": own}
    return {**settings, **named}


def training_id(settings: Mapping[str, Any], contents: Mapping[str, str] = _UNREAD) -> str:
    """The id that a cell would have without probes: cells that share it train alike, bit for bit.

    Probes never change the training that they observe. So such cells are one training, which
    counts once wherever training is counted. Arguments are those of `identify`.
    """
    return identify({**settings, "probes": {}}, contents)


def without_directories(
    kind: str, config: Mapping[str, Any], key: str, contents: Mapping[str, str]
) -> dict[str, Any]:
    """A part's settings with every location replaced by what it contains, or else its name.

    A part that is not ours comes with a digest of its source: an edited one makes other cells.
    """
    part = catalog.parts(kind).get(config["name"])
    options = part.options if part else {}  # of a part that is gone, a store may still know
    places = {
        name: _identity(config[name], f"{key}.{name}", contents)
        for name, option in options.items()
        if option.location
    }
    source = {"source": part.source} if part and part.source else {}
    return {**config, **places, **source}


def _identity(
    location: str | list[str] | None, key: str, contents: Mapping[str, str]
) -> str | list[str] | None:
    if isinstance(location, list):
        return [contents.get(f"{key}[{i}]") or name_of(each) for i, each in enumerate(location)]
    return None if location is None else contents.get(key) or name_of(location)


def cadence_steps(cadence: Mapping[str, Any], steps: int) -> frozenset[int]:
    """The steps t in 0..steps−1 at which a probe observes the update t → t+1.

    ``log: n`` takes min(n, steps) distinct steps, t_i = max(i, round(steps^(i/(n−1)) − 1)): from
    the first to the last, evenly on a logarithmic axis wherever steps are not scarce. A negative
    step of ``at`` counts from the end.
    """
    chosen = {step % steps for step in cadence["at"] if -steps <= step < steps}
    if cadence["every"]:
        chosen.update(range(0, steps, cadence["every"]))
    if cadence["log"]:
        last = min(cadence["log"], steps) - 1
        spaced = (math.floor(steps ** (i / max(last, 1)) - 0.5) for i in range(last + 1))
        chosen.update(max(i, step) for i, step in enumerate(spaced))
    return frozenset(chosen)
