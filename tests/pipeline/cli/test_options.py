"""Where results and MLflow are: one answer of all commands to the same words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.report import command as report
from pipeline.cli.options import (
    is_remote,
    local_folder,
    output_folder,
    storage_location,
    tracking_location,
)
from pipeline.store.store import Store
from pipeline.sweep import command as sweep
from pipeline.tracking.uri import tracking_uri
from pipeline.trial.command import main as trial_main
from tests.helpers.stores.cells import REGRESSION, cell, sweep_content

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("NORMSCOPE_STORAGE", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "one.yaml"
    path.write_text(json.dumps(sweep_content(REGRESSION)))  # JSON is YAML
    return str(path)


@pytest.mark.parametrize(
    ("given", "environment", "location"),
    [
        (None, None, "results"),
        (None, "", "results"),
        ("", "", "results"),
        (None, "/there", "/there"),
        ("", "/there", "/there"),
        ("here", "/there", "here"),
        ("~/here", None, "HOME/here"),
        (None, "~/there", "HOME/there"),
        ("file:///a/b", None, "/a/b"),
        ("local:///a/b", None, "/a/b"),
        ("file://~/b", None, "HOME/b"),
        ("s3://bucket/~/x", None, "s3://bucket/~/x"),
    ],
)
def test_where_results_are(
    given: str | None,
    environment: str | None,
    location: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if environment is not None:
        monkeypatch.setenv("NORMSCOPE_STORAGE", environment)
    assert storage_location(given) == location.replace("HOME", str(tmp_path / "home"))
    assert is_remote(storage_location(given)) == location.startswith("s3")


@pytest.mark.parametrize(
    ("given", "environment", "uri"),
    [
        (None, None, None),
        ("", "", None),
        ("none", "http://there", "none"),
        (None, "http://there", "http://there"),
        ("http://here", "http://there", "http://here"),
        ("sqlite:///~/m.db", None, "sqlite:///HOME/m.db"),
        ("sqlite:////a/m.db", None, "sqlite:////a/m.db"),
        ("~/mlruns", None, "HOME/mlruns"),
        ("file:///a/mlruns", None, "/a/mlruns"),
    ],
)
def test_where_mlflow_is(
    given: str | None,
    environment: str | None,
    uri: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if environment is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", environment)
    assert tracking_location(given) == (uri and uri.replace("HOME", str(tmp_path / "home")))


@pytest.mark.parametrize("storage", ["~/r", "file://~/r", "file:///{home}/r"])
def test_a_local_store_in_other_words_has_its_database_too(storage: str, tmp_path: Path) -> None:
    """It was called remote, or MLflow made a folder of the name ~."""
    home = tmp_path / "home"
    location = storage_location(storage.format(home=home))
    assert tracking_uri(None, location) == f"sqlite:///{home}/r/mlflow.db"
    assert not (tmp_path / "~").exists()


def test_an_empty_address_of_mlflow_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a remote store it became a SQLite file of a name like s3:."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    with pytest.raises(ValueError, match="--tracking: say where MLflow is"):
        tracking_uri(None, "s3://bucket/results")


def test_every_command_reads_the_same_variable(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A trial and a report went on with the folder results."""
    there = tmp_path / "home/there"
    monkeypatch.setenv("NORMSCOPE_STORAGE", "~/there")
    only = cell(REGRESSION).cell_id
    assert trial_main([file, "--cell", only]) == 0
    assert Store(str(there)).finished() == {only}
    assert sweep.main([file, "--tracking", "none"]) == 0
    assert f"1 of 1 cells done, in {there}" in capsys.readouterr().out
    assert report.main(["two"]) == 2
    assert f"no sweep 'two' in {there}; known: one" in capsys.readouterr().err
    assert report.main(["one"]) == 0
    assert (tmp_path / "reports/one/report.html").exists()
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("command", ["pipeline.sweep", "pipeline.trial", "analysis.report"])
def test_an_empty_variable_is_the_default(command: str, file: str, tmp_path: Path) -> None:
    """Cells went into the current folder, and MLflow to the file system's root."""
    only = cell(REGRESSION)
    Store(str(tmp_path / "results")).write_plan({"schema": 0, "name": "one", "cells": []})
    options = {
        "pipeline.sweep": [file, "--status"],
        "pipeline.trial": [file, "--cell", only.cell_id],
        "analysis.report": ["none-such"],
    }
    done = subprocess.run(
        [sys.executable, "-m", command, *options[command]],
        env={**os.environ, "NORMSCOPE_STORAGE": "", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = {
        "pipeline.sweep": f"one: 1 cells, in {tmp_path}/results",
        "pipeline.trial": f"{only.cell_id}: ok",
        "analysis.report": "no sweep 'none-such' in results",
    }
    assert said[command] in done.stdout + done.stderr
    assert not (tmp_path / "cells").exists()


# What a location cannot be ------------------------------------------------------------------------


@pytest.mark.parametrize("blank", ["", " ", "\t"])
def test_a_blank_location_is_none(blank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMSCOPE_STORAGE", blank)
    assert storage_location(blank) == "results"
    assert storage_location() == "results"


def test_a_home_of_nobody_is_refused(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        sweep.main([file, "--storage", "~nobody-here/x", "--status"])
    assert end.value.code == 2
    assert "~nobody-here/x: this machine has no user nobody-here" in capsys.readouterr().err
    monkeypatch.setenv("NORMSCOPE_STORAGE", "~nobody-here/x")
    assert trial_main([file, "--cell", ""]) == 2
    assert "this machine has no user nobody-here" in capsys.readouterr().err
    assert not list(tmp_path.glob("~*"))


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--out", "s3://bucket/x"], "s3://bucket/x must be on this machine"),
        (["--out", ""], "is empty: it must name a path on this machine"),
        (["--save", "s3://bucket/x"], "s3://bucket/x must be on this machine"),
        (["--save", "out/"], "out/ must be a file, not a folder"),
        (["--save", "."], ". must be a file, not a folder"),
        (["--from", ""], "is empty: it must name a path on this machine"),
    ],
)
def test_a_report_reads_and_writes_files_of_this_machine(
    words: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        report.main(["one", *words])
    assert end.value.code == 2
    assert capsys.readouterr().err.endswith(f"error: argument {words[0]}: {problem}\n")


def test_the_home_folder_in_out(tmp_path: Path) -> None:
    assert local_folder("~/reports") == str(tmp_path / "home" / "reports")


@pytest.mark.parametrize("below", ["", "/csv"])
def test_a_file_is_no_folder(below: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(ValueError, match=r"taken(/csv)? must be a folder; \S*taken is a file"):
        output_folder(f"{tmp_path}/taken{below}")


def test_a_command_runs_without_standard_output(file: str) -> None:
    words = [sys.executable, "-m", "pipeline.sweep", file, "--status", "--tracking", "none"]
    line = 'exec "$@" >&- 2>&-'
    done = subprocess.run(["sh", "-c", line, "sh", *words], cwd=ROOT, check=False)
    assert done.returncode == 0
