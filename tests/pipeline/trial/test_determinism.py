"""A cell's numbers: bit for bit the same, wherever and whenever it runs."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from pipeline.spec.read import Cell
from pipeline.store.store import Store
from pipeline.trial import run as trial
from pipeline.trial.run import run_trial
from tests.helpers.stores.cells import NOISY, PROBES, REGRESSION, cell, sweep_content

ROOT = Path(__file__).parents[3]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "results"))


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


@pytest.mark.slow
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
