"""MLflow that does not answer, is damaged, or refuses: in one line, and within seconds."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipeline.store.store import Store
from pipeline.tracking import client as tracking
from tests.helpers.stores.mirrored_cells import SWEEP, add_cell, live_cells, runs


@pytest.mark.slow
def test_sixteen_processes_open_one_database_from_nothing(store: Store, tmp_path: Path) -> None:
    """Each prepares the sweep, which ends runs that are under way; once all have, each mirrors."""
    for number in range(16):
        add_cell(store, f"c{number}")
    uri = f"sqlite:///{tmp_path}/fresh.db"
    code = (
        "import os, sys, traceback\nfrom multiprocessing import get_context\n"
        "from pipeline.tracking import client as tracking\nfrom pipeline.store.store import Store\n"
        "prepared = get_context('fork').Barrier(16)\n"
        "def work(number):\n"
        f"    tracking.prepare({uri!r}, {SWEEP!r}, '', Store({store.uri!r}))\n"
        "    prepared.wait(120)\n"
        f"    tracking.mirror({uri!r}, {SWEEP!r}, Store({store.uri!r}), f'c{{number}}')\n"
        "children = []\n"
        "for number in range(16):\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        code = 1\n"
        "        try:\n            work(number); code = 0\n"
        "        except BaseException:\n            traceback.print_exc()\n"
        "        finally:\n            os._exit(code)\n"
        "    children.append(child)\n"
        "sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    live = live_cells(uri)
    assert live == {f"c{number}": "ok" for number in range(16)}


def test_a_server_that_never_answers_costs_a_trial_ten_seconds_at_most() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://ada:hunter2@127.0.0.1:{silent.getsockname()[1]}"
        start = time.monotonic()
        with pytest.raises(tracking.TrackingError, match="cannot be used") as raised:
            tracking.prepare(uri, SWEEP, "", Store("memory://none"))
        assert time.monotonic() - start < 12
    assert "hunter2" not in str(raised.value)


def test_a_dead_server_is_given_up_within_seconds() -> None:
    start = time.monotonic()
    with pytest.raises(tracking.TrackingError, match=r"http://127.0.0.1:9: cannot be used"):
        tracking.prepare("http://127.0.0.1:9", SWEEP, "", Store("memory://none"))
    assert time.monotonic() - start < 30


def test_a_sync_looks_at_the_files_themselves(store: Store, uri: str) -> None:
    """A run whose files are gone, or are not whole, is no mirror, whatever its tags say."""
    tracking.mirror_missing(uri, SWEEP, store, ["aa", "bb"])
    for run in runs(uri):
        place = Path(str(run.info.artifact_uri).removeprefix("file://")) / "cell"
        if run.data.tags.get("cell_id") == "aa":
            shutil.rmtree(place)
        elif run.data.tags.get("cell_id") == "bb":
            (place / "training.parquet").write_bytes(b"PAR1")
    assert tracking.sync(uri, SWEEP, store, ["aa", "bb"]) == (2, 2, 2)
    assert tracking.sync(uri, SWEEP, store, ["aa", "bb"]) == (0, 0, 2)


@pytest.mark.parametrize("name", ["result.json", "training.parquet"])
def test_a_file_damaged_in_mlflow_is_refused_and_replaced(
    store: Store, uri: str, tmp_path: Path, name: str
) -> None:
    """Damage of one bit keeps the file's name and size, so that only its digest shows it."""
    tracking.mirror_missing(uri, SWEEP, store, ["aa"])
    (run,) = [each for each in runs(uri) if each.data.tags.get("cell_id") == "aa"]
    file = Path(str(run.info.artifact_uri).removeprefix("file://")) / "cell" / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(tracking.TrackingError, match=f"cell aa: {name} .* damaged .* --sync"):
        tracking.download(uri, [SWEEP], str(tmp_path / "copy"))
    assert tracking.sync(uri, SWEEP, store, ["aa"]) == (1, 1, 1)
    tracking.download(uri, [SWEEP], str(tmp_path / "copy"))
    assert Store(str(tmp_path / "copy")).result("aa") == store.result("aa")


def test_a_sync_that_does_not_hold_is_said(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "log_files", lambda *_: None)
    with pytest.raises(tracking.TrackingError, match="still differs from the store in 2 cells"):
        tracking.sync(uri, SWEEP, store, ["aa", "bb"])


def test_a_deleted_experiment_is_said_with_what_to_do(
    store: Store, uri: str, tmp_path: Path
) -> None:
    tracking.mirror_missing(uri, SWEEP, store, ["aa"])
    experiment = MlflowClient(uri).get_experiment_by_name(SWEEP)
    assert experiment is not None
    number = experiment.experiment_id
    MlflowClient(uri).delete_experiment(number)
    attempts = [
        lambda: tracking.prepare(uri, SWEEP, "", store),
        lambda: tracking.sync(uri, SWEEP, store, ["aa"]),
        lambda: tracking.mirror_missing(uri, SWEEP, store, ["aa"]),
        lambda: tracking.attach_report(uri, SWEEP, str(tmp_path), None, "", {}),
        lambda: tracking.download(uri, [SWEEP], str(tmp_path / "copy")),
    ]
    for attempt in attempts:
        with pytest.raises(tracking.TrackingError, match=r"deleted in MLflow; .* --sync") as raised:
            attempt()
        assert f"mlflow experiments restore --experiment-id {number}" in str(raised.value)
        assert "\n" not in str(raised.value)
    MlflowClient(uri).restore_experiment(number)
    assert tracking.sync(uri, SWEEP, store, ["aa"]) == (0, 0, 1)


def test_a_long_description_is_cut_and_said(
    store: Store, tmp_path: Path, fresh_database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = f"sqlite:///{shutil.copy(fresh_database, tmp_path / 'long.db')}"
    tracking.prepare(uri, SWEEP, "x" * 20_001, store)
    assert "has 20001 characters, MLflow takes 20000; it is cut there" in capsys.readouterr().err
    experiment = MlflowClient(uri).get_experiment_by_name(SWEEP)
    assert experiment is not None
    assert experiment.tags["mlflow.note.content"] == "x" * 19_999 + "…"


def test_what_mlflow_raises_is_one_line(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*words: object, **options: object) -> None:
        raise ConnectionError("http://ada:hunter2@host went away\nin the midst of it")

    monkeypatch.setattr(MlflowClient, "create_run", refuse)
    with pytest.raises(tracking.TrackingError) as raised:
        tracking.mirror(uri, SWEEP, store, "aa")
    assert str(raised.value) == "MLflow: http://***@host went away"
