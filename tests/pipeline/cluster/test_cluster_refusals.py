"""What --cluster refuses, in one line and before anything is sent."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.cluster.checkout import Checkout
from pipeline.cluster.job import entrypoint
from pipeline.sweep.command import main
from tests.helpers.machines.cluster_sweeps import write_sweep
from tests.pipeline.cluster.conftest import ROOT, free_ports


def refused(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main([str(write_sweep(folder, cells=1, steps=1)), *words]) == 2
    return capsys.readouterr().err


def test_a_shard_is_for_many_drivers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--cluster", "c.yaml", "--shard", "1/2"]
    assert "--cluster has one" in refused(tmp_path, capsys, *words)


@pytest.mark.parametrize("word", ["--status", "--failures", "--dry-run", "--sync"])
def test_only_running_happens_there(
    word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--cluster runs a sweep" in refused(tmp_path, capsys, "--cluster", "c.yaml", word)


def test_a_wrong_cluster_file_is_checked_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text((ROOT / "cluster.yaml").read_text().replace("127.0.0.1", "0.0.0.0"))
    said = refused(tmp_path, capsys, "--cluster", str(file))
    assert "head_start_ray_commands[1]: listens on 0.0.0.0" in said


def test_a_cluster_that_is_not_there_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (port,) = free_ports(1)
    said = refused(tmp_path, capsys, "--cluster", f"http://127.0.0.1:{port}")
    assert said.startswith(f"--cluster http://127.0.0.1:{port}: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--storage", "results"], "would be a folder of the job's"),
        (["--storage=../results"], "would be a folder of the job's"),
        (["--tracking", "postgresql://me:secret@host/mlflow"], "would show a password"),
    ],
)
def test_options_that_lose_results_or_show_secrets_are_refused(
    words: list[str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        entrypoint(Checkout(tmp_path, "0" * 40, "a.yaml"), words)
    assert "secret" not in str(caught.value)


def run_shell(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a job's command where `python` says what it was asked for."""
    shadow = folder / "bin/python"
    shadow.parent.mkdir()
    shadow.write_text(f'#!/bin/sh\n[ "$1" = -c ] && echo {folder}/cluster/.venv || echo "$@"\n')
    shadow.chmod(0o755)
    path = f"{shadow.parent}:/usr/bin:/bin"
    return subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env={"PATH": path, **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("lock", "environment", "code", "said"),
    [
        ("same", {"NORMSCOPE_STORAGE": "s3://b/r"}, 0, "-m pipeline.sweep a b.yaml --set x=[1, 2]"),
        ("same", {}, 2, "NORMSCOPE_STORAGE: is not set on the cluster; give --storage"),
        ("other", {"NORMSCOPE_STORAGE": "s3://b/r"}, 2, "environment of another requirements.lock"),
        (
            "other",
            {"NORMSCOPE_STORAGE": "s3://b/r"},
            2,
            "give its pods an image with this checkout",
        ),
    ],
)
def test_a_job_runs_only_with_its_environment_and_a_place_for_results(
    lock: str, environment: dict[str, str], code: int, said: str, tmp_path: Path
) -> None:
    (tmp_path / "requirements.lock").write_text("same")
    (tmp_path / "cluster/.venv").mkdir(parents=True)
    (tmp_path / "cluster/requirements.lock").write_text(lock)
    command = entrypoint(Checkout(tmp_path, "0" * 40, "a b.yaml"), ["--set", "x=[1, 2]"])
    done = run_shell(command, tmp_path, **environment)
    assert done.returncode == code, done
    assert said in done.stdout + done.stderr
