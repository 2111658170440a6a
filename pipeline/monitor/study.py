"""The runs of a study in the store: each a cell, like a sweep's, and all of them a plan."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock
from torch import nn

from pipeline.catalog import registry as catalog
from pipeline.cli import is_remote, output_folder, quoted, storage_location
from pipeline.spec import Cell
from pipeline.spec.expand import resolve_probes
from pipeline.store import SCHEMA, Store
from pipeline.trial.source_digest import code_digest

PLACES = ("data", "architecture", "normalizer")
"""Labels that say what a run is made of."""
_LABELS = (*PLACES, "lr", "seed", "training")
_EVALUATED = ("validation_loss", "validation_accuracy", "test_loss", "test_accuracy")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def checked_storage(storage: str | os.PathLike[str] | None) -> str:
    """Where a run will be saved.

    Raises:
        ValueError: if it is a file, or below one.
    """
    location = storage_location(None if storage is None else os.fspath(storage))
    if is_remote(location):
        return location
    try:
        return output_folder(location)
    except ValueError as error:
        raise ValueError(f"storage: {error}") from None


def checked_name(name: str, store: Store) -> str:
    """A study's name.

    Raises:
        ValueError: if it is no name, or a sweep file's that the store knows.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"name: must be lower-case letters, digits, - and _, not {name!r}")
    if name in store.plans() and not store.plan(name).get("own_loop"):
        raise ValueError(f"name: {name} is a sweep file's in {store.uri}; take another")
    return name


def checked_labels(labels: Mapping[str, Any], network: nn.Module) -> dict[str, Any]:
    """The labels of a run, the usual ones filled in; all others are joined in ``training``.

    Raises:
        ValueError: if ``lr`` or ``seed`` is no number.
    """
    for key, kind in (("lr", int | float), ("seed", int)):
        value = labels.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, kind) or not 0 <= value < math.inf:
            raise ValueError(f"labels.{key}: must be a number of at least 0, not {value!r}")
    others = [f"{key}={value}" for key, value in sorted(labels.items()) if key not in _LABELS]
    training = [str(labels["training"])] if labels.get("training") else []
    defaults = {"data": "own", "architecture": type(network).__name__, "normalizer": "own"}
    return {
        **{key: str(labels.get(key, defaults[key])) for key in PLACES},
        "lr": labels.get("lr"),
        "seed": labels.get("seed", 0),
        "training": ", ".join([*training, *others]),
    }


def checked_numbers(numbers: Mapping[str, Any]) -> dict[str, float]:
    """Numbers of an evaluation by name.

    Raises:
        ValueError: for another name, what is no number, or an accuracy that is no share.
    """
    found: dict[str, float] = {}
    for name, value in numbers.items():
        if name not in _EVALUATED:
            raise ValueError(f"no number {name!r}; there are {', '.join(_EVALUATED)}")
        try:
            found[name] = float(value)
        except (TypeError, ValueError, RuntimeError):  # of torch: more than one element
            text = quoted(value) if isinstance(value, str) else f"a {type(value).__name__}"
            raise ValueError(f"{name}: must be one number, not {text}") from None
        if name.endswith("accuracy") and (found[name] < 0 or found[name] > 1):  # NaN is not known
            raise ValueError(f"{name}={found[name]:g}: must be a share, from 0 to 1")
    return found


def checked_probes(probes: Mapping[str, Any], steps: int | None) -> dict[str, Any]:
    """Probes with all options filled in.

    Raises:
        ValueError: if one is unknown or wrong, or needs to know how many steps there will be.
    """
    if not isinstance(probes, Mapping):
        kind = type(probes).__name__
        raise ValueError(
            f"probes: must be a mapping as {{'gradient_ics': {{'every': 50}}}}, not a {kind}"
        )
    resolved = resolve_probes(dict(probes), "probes", partial=False)
    for name, options in resolved.items():
        counts = options["log"] or any(step < 0 for step in options["at"])
        if steps is None and counts:
            what = "log and negative steps of at need the number of steps"
            raise ValueError(f"probes.{name}: {what}; give Monitor(steps=...)")
    return resolved


def cell_of(name: str, labels: Mapping[str, Any], settings: Mapping[str, Any]) -> Cell:
    """The cell of a run. Its id is made of the study, the labels and the probes.

    A second run with the same ones takes the first one's place.
    """
    known = {"schema": SCHEMA, "own_loop": name, "labels": labels, "probes": settings["probes"]}
    text = json.dumps(known, sort_keys=True, separators=(",", ":"))
    cell_id = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Cell(dict(settings), dict(labels), cell_id)


def add_to_plan(store: Store, name: str, cell: Cell) -> None:
    """Name a run in its study's plan; runs of this machine that end together wait in turn."""
    place = hashlib.sha256(f"{store.uri} {name}".encode()).hexdigest()[:16]
    with FileLock(Path(tempfile.gettempdir()) / f"normscope-{place}.lock"):
        plan = _plan(store, name)
        if cell.cell_id not in plan["cells"]:
            plan["cells"].append(cell.cell_id)
        plan["settings"][cell.cell_id] = cell.settings
        plan["labels"][cell.cell_id] = cell.labels
        store.write_plan(plan)


def _plan(store: Store, name: str) -> dict[str, Any]:
    if checked_name(name, store) in store.plans():
        return store.plan(name)
    empty: dict[str, Any] = {"cells": [], "settings": {}, "labels": {}}
    about = "Runs of a training loop of one's own."
    return {"schema": SCHEMA, "name": name, "description": about, "own_loop": True, **empty}


def sources(network: nn.Module, probes: Mapping[str, Any]) -> dict[str, str]:
    """Digests of the code: the monitor, its probes, and the file of the network's class."""
    found = {"monitor": code_digest(("pipeline.monitor.runner",))}
    for name in probes:
        found[f"probes/{name}"] = code_digest((catalog.parts("probes")[name].module,))
    try:
        file = inspect.getsourcefile(type(network))
        text = Path(file).read_bytes() if file else None
    except (OSError, TypeError):  # a class of an interactive session has no file
        text = None
    if text is not None:
        found["network"] = hashlib.sha256(text).hexdigest()[:16]
    return found
