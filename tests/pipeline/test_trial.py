"""A cell from its settings to its result: bit for bit the same, wherever and whenever it runs."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from pipeline import trial
from pipeline.spec import Cell
from pipeline.store import SCHEMA, Store, StoreError
from pipeline.trial import attempt, main, run_trial
from tests.pipeline.cells import IMAGES, REGRESSION, cell, sweep_content

ROOT = Path(__file__).parents[2]
PROBES = {
    "gradient_ics": {"every": 2},
    "moment_ics": {"every": 2},
    "landscape": {"at": [0, 3], "lengths": 2},
}
NOISY = {**IMAGES, "normalizer": "noisy_batch"}
DROPPED = {**REGRESSION, "normalizer": {"name": "group", "groups": 7}}
"""A cell that raises: ten features are not seven groups."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "results"))


# What is written ----------------------------------------------------------------------------------

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
        "initial_loss": float,
        "final_train_loss": float,
        "train_accuracy": float,
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
            ["python", "torch", "torchvision", "numpy", "ray", "mlflow"], (str, type(None))
        ),
        "device": str,
        "threads": int,
        "data_digest": str,
        "host": str,
        "time": str,
    },
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
    has_form(written, RESULT)
    assert written == returned == store.result(images.cell_id)
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
        "validation_accuracy",
        "test_accuracy",
    ]


@pytest.mark.parametrize(("steps", "lr", "step"), [(60, 1e30, 1), (1, 1e30, 1)])
def test_a_diverged_cell_is_a_result(
    steps: int, lr: float, step: int, store: Store, tmp_path: Path
) -> None:
    wild = cell(REGRESSION, steps=steps, lr=lr, probes=PROBES | {"landscape": {"log": 2}})
    assert attempt(wild, store, "cpu") == "diverged"
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
    assert attempt(raising, store, "cpu") == "failed"
    assert (store.finished(), store.failed()) == (set(), {raising.cell_id})
    failure = strict_json(tmp_path / f"results/cells/{raising.cell_id}/failure.json")
    assert set(failure) == {"schema", "cell_id", "labels", "error", "traceback", "time"}
    assert failure["error"].startswith("ValueError: ")
    assert "7" in failure["error"]
    assert failure["traceback"].startswith("Traceback")
    repaired = Cell(cell(REGRESSION).settings, raising.labels, raising.cell_id)
    assert attempt(repaired, store, "cpu") == "ok"
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
    assert attempt(known, store, "cpu") == "lost"
    standing = store.standing()
    assert (standing.failed, standing.lost) == (set(), {known.cell_id})
    assert str(error) in store.lost(known.cell_id)["error"]
    monkeypatch.undo()
    assert attempt(known, store, "cpu") == "ok"
    assert store.standing().lost == set()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_share_of_a_gpu_is_a_share_of_its_memory() -> None:
    cuda = torch.device("cuda")
    tenth = torch.cuda.get_device_properties(0).total_memory // 10
    trial._bound_memory(cuda, 0.05)
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(tenth, dtype=torch.uint8, device=cuda)
    trial._bound_memory(cuda, None)
    assert torch.empty(tenth, dtype=torch.uint8, device=cuda).numel() == tenth


# The same bits ------------------------------------------------------------------------------------


@pytest.fixture
def global_state() -> Iterator[None]:
    """Put back what a test does to the process."""
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    yield
    torch.set_default_dtype(dtype)
    torch.set_num_threads(threads)
    torch.set_grad_enabled(True)
    torch.use_deterministic_algorithms(False)
    torch.set_float32_matmul_precision("highest")


def disturb() -> None:
    """Leave the process as the worst of cells could."""
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(2)
    torch.set_grad_enabled(False)
    torch.use_deterministic_algorithms(True)
    torch.set_float32_matmul_precision("medium")
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    torch.rand(7)


def digests(cell: Cell, store: Store) -> dict[str, str]:
    result = run_trial(cell, store, "cpu")
    return {name: file["sha256"] for name, file in result["records"].items()}


def test_the_same_bits_twice_in_one_process(store: Store, global_state: None) -> None:
    images = cell(NOISY, probes=PROBES, augment=["crop", "flip"], momentum=0.9)
    first = digests(images, store)
    disturb()
    digests(cell(REGRESSION, seed=9), store)
    disturb()
    trial._dataset.cache_clear()
    assert digests(images, store) == first
    other = digests(cell(NOISY, probes=PROBES, seed=1), store)
    assert not set(other.values()) & set(first.values())


def test_the_same_curve_with_and_without_probes(store: Store) -> None:
    for parts in (NOISY, REGRESSION):
        bare = digests(cell(parts, momentum=0.9), store)
        probed = digests(cell(parts, momentum=0.9, probes=PROBES), store)
        assert set(probed) == {"training.parquet", *(f"{name}.parquet" for name in PROBES)}
        assert set(bare) == {"training.parquet"}
        assert bare["training.parquet"] == probed["training.parquet"]


BLOCK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ray", "mlflow"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())
"""


def test_the_same_bits_in_another_process_without_ray_and_mlflow(
    store: Store, tmp_path: Path
) -> None:
    content = {**sweep_content(NOISY, probes=PROBES), "seeds": 3}
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(content))
    cells = [cell(NOISY, probes=PROBES, seed=seed) for seed in range(3)]
    here = [digests(each, store) for each in cells]
    (tmp_path / "sitecustomize.py").write_text(BLOCK)
    other = tmp_path / "other folder – größer"
    run = [sys.executable, "-m", "pipeline.trial", str(file), "--cell", cells[2].cell_id[:12]]
    done = subprocess.run(
        [*run, "--storage", str(other)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{cells[2].cell_id}: ok, ")
    result = Store(str(other)).result(cells[2].cell_id)
    assert {name: file["sha256"] for name, file in result["records"].items()} == here[2]
    blocked = subprocess.run(
        [sys.executable, "-c", "import ray"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert "ray is blocked" in blocked.stderr


# The command --------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump({**sweep_content(REGRESSION), "seeds": 40}))
    return str(path)


def test_a_cell_is_named_by_how_its_id_begins(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only = cell(REGRESSION, seed=7)
    storage = str(tmp_path / "results")
    assert main([file, "--cell", only.cell_id[:10], "--storage", storage]) == 0
    name, _, summary = capsys.readouterr().out.partition(": ok, ")
    assert name == only.cell_id
    assert json.loads(summary) == Store(storage).result(only.cell_id)["summary"]


def test_a_cell_that_raises_shows_its_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "raising.yaml"
    path.write_text(yaml.safe_dump(sweep_content(DROPPED)))
    storage = str(tmp_path / "results")
    only = cell(DROPPED).cell_id
    assert main([str(path), "--cell", only, "--storage", storage]) == 1
    error = capsys.readouterr().err
    assert error.startswith("Traceback")
    assert "ValueError" in error.splitlines()[-2] + error.splitlines()[-1]
    assert Store(storage).failed() == {only}


NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--cell", "zzz"], "--cell zzz: 0 cells begin so"),
        (["--cell", ""], "--cell : 40 cells begin so"),
        (["--cell", "CELL", "--device", "nonsense"], "--device nonsense: this machine has cpu"),
        (["--cell", "CELL", "--device", "meta"], "--device meta: this machine has cpu"),
        (["--cell", "CELL", "--device", "cuda:99"], "--device cuda:99: this machine has cpu"),
        pytest.param(
            ["--cell", "CELL", "--device", "cuda"],
            "--device cuda: this machine has cpu",
            marks=NO_GPU,
        ),
        (["--cell", "CELL", "--threads", "0"], "--threads 0: must be at least 1"),
        (["--cell", "CELL", "--storage", "nonsense://x"], "nonsense://x: not a place for a store"),
        (["--cell", "CELL", "--set", "training.stepz=5"], "steps"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    options: list[str],
    said: str,
    file: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    known = cell(REGRESSION).cell_id
    assert main([file, *(known if word == "CELL" else word for word in options)]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert not (tmp_path / "results").exists()
