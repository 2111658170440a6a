"""What of a finished cell goes to MLflow beside its files: settings by key, coarse curves."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow.parquet

from pipeline.tracking.coarse import coarse_curves

_FIRST = ["test_accuracy", "validation_accuracy", "test_loss", "validation_loss"]
"""MLflow compares runs by the metric that was logged first, unless told otherwise."""


_DEPTH = re.compile(r"\bdepth=(\d+)")


def run_name(labels: Mapping[str, Any]) -> str:
    """``batch · resnet14 · lr 0.1 · s0``: short enough for a column; the tags have the rest."""
    name, _, options = str(labels["architecture"]).partition("(")
    depth = _DEPTH.search(options)
    architecture = f"{name}{depth[1] if depth else ''}"
    return f"{labels['normalizer']} · {architecture} · lr {labels['lr']:g} · s{labels['seed']}"


def source_tags(trial: Mapping[str, Any]) -> dict[str, str]:
    """MLflow's own tags for the command and the commit that made a run."""
    tags = {"mlflow.source.name": "python -m pipeline.sweep", "mlflow.source.type": "LOCAL"}
    commit = trial.get("provenance", {}).get("commit")
    return tags | ({"mlflow.source.git.commit": str(commit)} if commit else {})


def dataset(result: Mapping[str, Any]) -> dict[str, str]:
    """The data of a run, for MLflow's column “Dataset”; the digest is as short as MLflow's own."""
    settings = result["settings"].get("data", result["labels"]["data"])
    return {
        "name": str(result["labels"]["data"]),
        "digest": str(result["provenance"].get("data_digest", ""))[:8] or "unknown",
        "source_type": "normscope",
        "source": json.dumps(settings, sort_keys=True),
    }


def parameters(result: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What a run was made of: its parts in a word each, to group and to compare by; then all."""
    for part in ("data", "architecture", "normalizer"):
        yield part, result["labels"][part]
    for key, value in flat(result["settings"]):
        # One key for the optimizer's name, in whichever form the sweep file gives it.
        yield key if key != "training.optimizer.name" else "training.optimizer", value


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings by dotted key: ``training.lr``, ``normalizer.0.name``."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flat(inner, f"{prefix}.{key}" if prefix else key)
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        for index, inner in enumerate(value):
            yield from flat(inner, f"{prefix}.{index}")
    else:
        yield prefix, value


def points(
    result: Mapping[str, Any], files: Mapping[str, bytes]
) -> Iterator[tuple[str, float, int]]:
    """Key, value and step of every point of a cell's coarse curves, from its result's files."""
    tables = {
        name.removesuffix(".parquet"): pyarrow.parquet.read_table(io.BytesIO(data))
        for name, data in files.items()
        if name.endswith(".parquet")
    }
    curves = coarse_curves(result, tables)
    first = [key for key in (f"final/{name}" for name in _FIRST) if key in curves]
    for key in dict.fromkeys([*first, *curves]):
        for step, value in curves[key]:
            yield key, value, step
