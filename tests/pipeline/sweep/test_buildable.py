"""What can run nowhere is refused before a sweep starts, each error once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.catalog import registry as catalog
from pipeline.data._tasks import known_task
from pipeline.spec.read import read_sweep
from pipeline.store.store import Store
from pipeline.sweep.command import main
from pipeline.sweep.forecast import buildable
from pipeline.sweep.forecast.buildable import check_networks
from pipeline.trial.run import run_and_record
from tests.helpers.stores.cells import DROPPED, IMAGES, cell

ROOT = Path(__file__).parents[3]
RESNET_15 = {**IMAGES, "architecture": {"name": "resnet", "depth": 15}}
FIXUP = {**IMAGES, "normalizer": "fixup"}
WRONG_GROUPS = {**IMAGES, "normalizer": {"name": "group", "groups": 3}}
NOISY = {**IMAGES, "normalizer": "noisy_batch"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NORMSCOPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/networks.json"


def write(folder: Path, base: dict[str, Any], **content: Any) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({"name": "small", "base": base, **content}))
    return path


def test_a_dry_run_refuses_each_error_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    depths = {"architecture": ["vgg11", {"name": "resnet", "depth": 15}]}
    grid = {**depths, "normalizer": ["none", "batch", "layer", "rms", "instance"]}
    file = write(tmp_path, {"data": "digits"}, grid=grid, seeds=2)
    assert main([str(file), "--dry-run", "--storage", str(tmp_path / "results")]) == 2
    said = capsys.readouterr()
    assert "20  missing" in said.out
    assert said.err.splitlines()[0] == "building 10 networks once, without values …"
    (line,) = said.err.splitlines()[1:]
    example = "resnet(depth=15) with none on digits: ValueError: "
    assert line.startswith(f"{file}: 10 cells cannot run, e.g. {example}")
    assert not (tmp_path / "results").exists()


def test_a_cluster_is_not_paid_for_what_cannot_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr(
        "pipeline.cluster.run_on_cluster",
        lambda sweep, *_, **__: started.append(sweep.name) or 0,
    )
    there = ["--cluster", "http://127.0.0.1:1"]
    assert main([str(write(tmp_path, RESNET_15)), *there]) == 2
    assert "1 cells cannot run" in capsys.readouterr().err
    assert main([str(write(tmp_path, IMAGES)), *there]) == 0
    assert started == ["small"]


@pytest.mark.parametrize("parts", [RESNET_15, FIXUP, WRONG_GROUPS, DROPPED])
def test_the_error_is_the_trial_s(parts: dict[str, Any], tmp_path: Path) -> None:
    wrong, store = cell(parts), Store(str(tmp_path))
    assert run_and_record(wrong, store, "cpu") == "failed"
    expected = store.failure(wrong.cell_id)["error"].partition("\n")[0]
    assert check_networks([wrong]).errors == {expected: [wrong]}


@pytest.mark.parametrize("parts", [IMAGES, NOISY])
def test_a_full_batch_and_noise_are_built(parts: dict[str, Any]) -> None:
    assert check_networks([cell(parts), cell(parts, batch_size=None)]).errors == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["all_normalizers", "quickstart", "torchvision"])
def test_every_network_of_a_shipped_sweep_is_built_without_values(name: str) -> None:
    cells = read_sweep(ROOT / f"sweeps/{name}.yaml", ["seeds=1"]).cells
    groups = buildable._groups(cells)
    assert len(groups) > 3
    for members in groups.values():
        settings = members[0].settings
        task = known_task(settings["data"]) or known_task({"name": "cifar10"})
        assert task
        assert buildable._tried(settings, task, "meta") == "", members[0].labels


def test_what_fails_without_values_only_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def fails_on_meta(settings: Any, task: Any, device: str) -> None:
        tried.append(device)
        if device == "meta":
            raise NotImplementedError("no kernel")

    monkeypatch.setattr(buildable, "_run_once", fails_on_meta)
    assert check_networks([cell(IMAGES)]).errors == {}
    assert tried == ["meta", "cpu"]


def test_a_batch_that_the_data_cannot_give_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes, storage = [1295, 1296, None], ["--storage", str(tmp_path / "results")]
    file = write(tmp_path, IMAGES, grid={"training.batch_size": sizes})
    assert main([str(file), "--dry-run", *storage]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{file}: 1 cells cannot run, e.g. ")
    assert "batch_size must be between 1 and the 1295 training samples" in said
    probes = {"gradient_noise": {"every": 1, "batch_size": 4000}, "gradient_ics": {"every": 1}}
    assert main([str(write(tmp_path, IMAGES, probes=probes)), "--dry-run", *storage]) == 2
    assert "the probe batch must have between 1 and 1295 samples" in capsys.readouterr().err
    vectors = {**IMAGES, "data": "gaussian", "architecture": "deep_linear"}
    small = {"training.batch_size": 1001, "training.augment": ["crop"]}
    both = [word for key, value in small.items() for word in ("--set", f"{key}={value}")]
    assert main([str(write(tmp_path, vectors)), "--dry-run", *both[:2], *storage]) == 2
    assert "the 1000 training samples" in capsys.readouterr().err
    assert main([str(write(tmp_path, vectors)), "--dry-run", *both[2:], *storage]) == 2
    assert "crop" in capsys.readouterr().err


def test_a_dataset_that_must_be_read_first_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, {**IMAGES, "data": {"name": "parquet", "path": "/nowhere/cats"}})
    assert main([str(file), "--dry-run", "--storage", str(tmp_path / "results")]) == 0
    assert "not checked: networks and batches on parquet(path=cats)" in capsys.readouterr().out


_SECOND_LOOK = """
import sys
from pipeline.sweep.command import main
code = main([sys.argv[1], "--dry-run", "--storage", sys.argv[2]])
print(code, "torch" in sys.modules)
"""


def test_a_second_look_needs_no_torch(tmp_path: Path, cache: Path) -> None:
    file = write(tmp_path, IMAGES, grid={"normalizer": ["batch", "fixup"]})
    where, ends = [str(file), str(tmp_path / "results")], []
    for _ in range(2):
        command = [sys.executable, "-c", _SECOND_LOOK, *where]
        done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=True)
        ends.append(done.stdout.splitlines()[-1])
        assert "1 cells cannot run" in done.stderr
    assert ends == ["2 True", "2 False"]
    cache.write_text("{")
    assert len(check_networks([cell(FIXUP)]).errors) == 1


@pytest.mark.parametrize("config", [{"name": "digits"}, {"name": "gaussian", "dimension": 7}])
def test_a_known_task_is_the_data_s(config: dict[str, Any]) -> None:
    resolved = catalog.resolve("data", config, "")
    assert known_task(resolved) == catalog.make("data", resolved).task


def test_every_dataset_has_a_known_task_or_is_of_the_user_s_files() -> None:
    required = {"parquet": {"path": "p"}, "image_folder": {"path": "p", "size": 8}}
    for name in catalog.parts("data"):
        config = catalog.resolve("data", {"name": name, **required.get(name, {})}, "")
        assert (known_task(config) is None) == (name in required)
