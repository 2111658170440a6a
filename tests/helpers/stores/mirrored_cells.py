"""A store of two finished cells, and what MLflow has of it."""

from __future__ import annotations

import pyarrow as pa
from mlflow import MlflowClient
from mlflow.entities import Run

from pipeline.store.filesystem import SCHEMA
from pipeline.store.store import Store

SWEEP = "small"


TIME = "2026-01-02T03:04:05+00:00"


LABELS = {"data": "digits", "architecture": "vgg11", "normalizer": "batch", "lr": 0.1, "seed": 0}


def add_cell(store: Store, cell_id: str, final_loss: float = 1.0) -> None:
    """Write a finished cell with a training curve and one probe."""
    steps = list(range(120))
    training = {"step": steps, "lr": [0.1] * 120, "train_loss": [2.0 - s / 120 for s in steps]}
    probe = {"step": [0, 0, 50, 50], "layer": ["a", "b"] * 2, "relative": [0.0, 1.0, None, 3.0]}
    result = {
        "schema": SCHEMA,
        "cell_id": cell_id,
        "status": "ok",
        "settings": {"training": {"lr": 0.1}, "normalizer": [{"name": "batch", "eps": 1e-5}]},
        "labels": LABELS,
        "summary": {"final_train_loss": final_loss, "test_accuracy": None},
        "cost": {"seconds": 1.5, "seconds_per_step": 0.01},
        "provenance": {"time": TIME, "commit": "abc123", "data_digest": "f" * 64},
    }
    tables = {"training": pa.table(training), "gradient_ics": pa.table(probe)}
    store.write_result(result, tables)


def runs(uri: str) -> list[Run]:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(SWEEP)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def live_cells(uri: str) -> dict[str, str]:
    """The status of every cell, by the run that counts."""
    live = [run.data.tags for run in runs(uri) if run.data.tags.get("superseded") != "true"]
    return {tags["cell_id"]: tags["status"] for tags in live if "cell_id" in tags}
