"""A cell from its settings to its result, or to what is known of its failure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.spec.read import Cell
from pipeline.store.filesystem import SCHEMA
from pipeline.store.store import Store, StoreError
from pipeline.trial import run as trial
from pipeline.trial.run import run_and_record, run_trial
from tests.helpers.stores.cells import DROPPED, NOISY, PROBES, REGRESSION, cell

SOURCES = ["training", "data/digits", "architectures/vgg11", "normalizers/noisy_batch"]
SOURCES += [f"probes/{name}" for name in PROBES]
SOURCES += ["optimizers/sgd"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "results"))


NUMBER = (int, float)
RESULT: dict[str, Any] = {
    "schema": int,
    "cell_id": str,
    "status": str,
    "diverged_step": (int, type(None)),
    "settings": dict,
    "labels": {
        "data": str,
        "architecture": str,
        "normalizer": str,
        "lr": float,
        "seed": int,
        "training": str,
    },
    "summary": {
        "steps": int,
        "chance_loss": float,
        "initial_loss": float,
        "final_train_loss": float,
        "train_accuracy": float,
        "eval_train_loss": float,
        "eval_train_accuracy": float,
        "validation_loss": float,
        "validation_accuracy": float,
        "test_loss": float,
        "test_accuracy": float,
        "parameters": int,
    },
    "cost": {
        "seconds": float,
        "training_seconds": float,
        "evaluation_seconds": float,
        "probe_seconds": dict.fromkeys(PROBES, float),
        "probe_memory_bytes": dict.fromkeys(PROBES, type(None)),
        "seconds_per_step": float,
        "peak_memory_bytes": type(None),
    },
    "provenance": {
        "commit": (str, type(None)),
        "dirty": (bool, type(None)),
        "lock": (str, type(None)),
        "versions": dict.fromkeys(
            ["python", "torch", "torchvision", "timm", "numpy", "ray", "mlflow", "scikit-learn"],
            (str, type(None)),
        ),
        "device": str,
        "device_type": str,
        "precision": str,
        "deterministic": str,
        "threads": int,
        "cuda_graph": bool,
        "data_digest": str,
        "contents": {"data": str},
        "host": str,
        "time": str,
        "sources": dict.fromkeys(SOURCES, str),
    },
    "sha256": str,
    "records": {f"{name}.parquet": {"rows": int, "sha256": str} for name in ("training", *PROBES)},
}


def has_form(value: Any, form: Any, where: str = "") -> None:
    if isinstance(form, dict):
        assert isinstance(value, dict), where
        assert set(value) == set(form), where
        for key in form:
            has_form(value[key], form[key], f"{where}.{key}")
    else:
        assert isinstance(value, form), where


def strict_json(path: Path) -> Any:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_a_result_has_its_form(store: Store, tmp_path: Path) -> None:
    images = cell(NOISY, probes=PROBES)
    returned = run_trial(images, store, "cpu")
    written = strict_json(tmp_path / f"results/cells/{images.cell_id}/result.json")
    assert written == returned == store.result(images.cell_id)
    written["provenance"]["versions"].pop("normscope", None)  # where it is installed
    has_form(written, RESULT)
    assert (written["schema"], written["cell_id"]) == (SCHEMA, images.cell_id)
    assert (written["settings"], written["labels"]) == (images.settings, images.labels)
    assert (written["status"], written["diverged_step"]) == ("ok", None)
    assert written["records"]["training.parquet"]["rows"] == 6
    assert written["provenance"]["threads"] == torch.get_num_threads() == 1
    cost = written["cost"]
    assert cost["seconds_per_step"] == pytest.approx(cost["training_seconds"] / 5)
    spent = cost["training_seconds"] + cost["evaluation_seconds"]
    assert 0 < spent + sum(cost["probe_seconds"].values()) < cost["seconds"]


def test_a_regression_has_no_accuracies(store: Store) -> None:
    summary = run_trial(cell(REGRESSION), store, "cpu")["summary"]
    assert [key for key, value in summary.items() if value is None] == [
        "train_accuracy",
        "eval_train_accuracy",
        "validation_accuracy",
        "test_accuracy",
    ]


@pytest.mark.parametrize(("steps", "lr", "step"), [(60, 1e30, 1), (1, 1e30, 1)])
def test_a_diverged_cell_is_a_result(
    steps: int, lr: float, step: int, store: Store, tmp_path: Path
) -> None:
    wild = cell(REGRESSION, steps=steps, lr=lr, probes=PROBES | {"landscape": {"log": 2}})
    assert run_and_record(wild, store, "cpu") == "diverged"
    result = strict_json(tmp_path / f"results/cells/{wild.cell_id}/result.json")
    assert (result["status"], result["diverged_step"]) == ("diverged", step)
    assert (store.finished(), store.failed()) == ({wild.cell_id}, set())
    for key in ("validation_loss", "test_loss", "test_accuracy"):
        assert result["summary"][key] is None
    tables = {name.removesuffix(".parquet") for name in result["records"]}
    assert tables == {"training", *PROBES}
    for name in tables:
        table = store.records(result, name)
        assert table is not None
        assert table.num_rows > 0
        assert max(table["step"].to_pylist()) <= step


def test_an_infinite_first_loss_is_a_divergence_too(store: Store) -> None:
    huge = {**REGRESSION, "data": {"name": "gaussian", "samples": 64, "variance": 1e38}}
    result = run_trial(cell(huge, probes={"gradient_ics": {"every": 1}}), store, "cpu")
    assert (result["status"], result["diverged_step"]) == ("diverged", 0)
    assert result["summary"]["initial_loss"] is result["summary"]["final_train_loss"] is None
    assert result["summary"]["steps"] == 1


def test_a_cell_that_raises_is_a_failure_until_it_succeeds(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raising = cell(DROPPED)
    assert run_and_record(raising, store, "cpu") == "failed"
    assert (store.finished(), store.failed()) == (set(), {raising.cell_id})
    failure = strict_json(tmp_path / f"results/cells/{raising.cell_id}/failure.json")
    assert set(failure) == {"schema", "cell_id", "labels", "error", "traceback", "time"}
    assert failure["error"].startswith("ValueError: ")
    assert "7" in failure["error"]
    assert failure["traceback"].startswith("Traceback")
    repaired = Cell(cell(REGRESSION).settings, raising.labels, raising.cell_id)
    assert run_and_record(repaired, store, "cpu") == "ok"
    assert (store.finished(), store.failed()) == ({raising.cell_id}, set())
    assert not (tmp_path / f"results/cells/{raising.cell_id}/failure.json").exists()


@pytest.mark.parametrize("error", [StoreError("cannot be written"), ConnectionError("refused")])
def test_what_the_machine_could_not_do_is_no_failure_of_the_cell(
    error: Exception, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(trial, "run_trial", broken)
    known = cell(REGRESSION)
    assert run_and_record(known, store, "cpu") == "lost"
    standing = store.cell_states()
    assert (standing.failed, standing.lost) == (set(), {known.cell_id})
    assert str(error) in store.read_lost(known.cell_id)["error"]
    monkeypatch.undo()
    assert run_and_record(known, store, "cpu") == "ok"
    assert store.cell_states().lost == set()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_share_of_a_gpu_is_a_share_of_its_memory() -> None:
    cuda = torch.device("cuda")
    tenth = torch.cuda.get_device_properties(0).total_memory // 10
    trial._bound_memory(cuda, 0.05)
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(tenth, dtype=torch.uint8, device=cuda)
    trial._bound_memory(cuda, None)
    assert torch.empty(tenth, dtype=torch.uint8, device=cuda).numel() == tenth
