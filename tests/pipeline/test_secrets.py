from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli.redaction import redact, redacted
from pipeline.spec.read import Cell, Sweep, plan
from pipeline.spec.read import Resources as Plain
from pipeline.store.store import Store
from pipeline.trial.log_capture import CellLog, captured
from pipeline.trial.run import run_and_record
from tests.helpers.stores.cells import REGRESSION, cell


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("http://ada:hunter2@host:5000/x failed", "http://***@host:5000/x failed"),
        ("https://token@host/path", "https://***@host/path"),
        ("s3://bucket/x?X-Amz-Signature=abc&y=1", "s3://bucket/x?X-Amz-Signature=***&y=1"),
        ("http://host/?token=abc", "http://host/?token=***"),
        ("sqlite:////home/ada/mlflow.db", "sqlite:////home/ada/mlflow.db"),
        ("mail ada@host: 3 // 4", "mail ada@host: 3 // 4"),
    ],
)
def test_what_a_uri_hides(text: str, left: str) -> None:
    assert redact(text) == left


def test_secrets_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    monkeypatch.setenv("SHORT_TOKEN", "a")
    monkeypatch.setenv("HARMLESS", "visible")
    said = redact("key wJalrXUtnFEMI, password hunter2, a visible word")
    assert said == "key ***, password ***, a visible word"


def test_settings_keep_all_but_secrets() -> None:
    settings = {"data": {"path": "https://u:p@h/x"}, "list": ["ftp://u:p@h", 1], "n": None}
    assert redacted(settings) == {
        "data": {"path": "https://***@h/x"},
        "list": ["ftp://***@h", 1],
        "n": None,
    }


def test_no_file_of_a_failed_cell_holds_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the failure, nor the log, nor the plan: they all go to MLflow or to colleagues."""
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "hunter2-token")

    def leaking(*arguments: object, **options: object) -> None:
        print("connecting to http://ada:hunter2@host")
        logging.getLogger("client").warning("token %s", "hunter2-token")
        raise RuntimeError("http://ada:hunter2@host refused hunter2-token")

    monkeypatch.setattr("pipeline.trial.run.run_trial", leaking)
    store, known = Store(str(tmp_path)), cell(REGRESSION)
    secretive = Cell(
        {**known.settings, "data": {"path": "https://ada:hunter2@host"}}, known.labels, "aa"
    )
    assert run_and_record(secretive, store, "cpu") == "failed"
    store.write_plan(plan(Sweep("s", "", [secretive], Plain(), Path("s.yaml"))))
    written = {path.name: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    plan_id = store.plan_ids("s")[0]
    assert set(written) == {"failure.json", "log.txt", f"{plan_id}.json"}
    for text in written.values():
        assert "hunter2" not in text
        assert "***" in text


# The log of a cell --------------------------------------------------------------------------------


def test_a_log_has_what_was_printed_and_logged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with captured() as log:
        print("out")
        print("error", file=sys.stderr)
        logging.getLogger("part").warning("slow")
    print("after")
    for word in ("out\n", "error\n", "WARNING part: slow"):
        assert word in log.text()
    assert "after" not in log.text()
    assert capsys.readouterr().out == "out\nafter\n"


def test_every_cell_of_a_process_has_its_warnings() -> None:
    code = (
        "import warnings; from pipeline.trial.log_capture import captured\n"
        "for cell in range(2):\n"
        "    with captured() as log: warnings.warn('look')\n"
        "    assert 'UserWarning: look' in log.text()"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=root)


def test_a_log_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    log = CellLog()
    log.write("begin")
    for number in range(20_000):
        log.write(f"{number:09d}\n")
    log.write("end")
    text = log.text()
    assert text.startswith("begin000000000\n")
    assert text.endswith("000019999\nend")
    kept = len(text.replace("\n… 134472 characters left out …\n", ""))
    assert kept == 65_536
    assert 5 + 200_000 + 3 - kept == 134_472


def test_a_silent_trial_has_no_log(tmp_path: Path) -> None:
    CellLog().save(Store(str(tmp_path)), "aa")
    assert not any(tmp_path.iterdir())


def test_streams_come_back_after_an_error() -> None:
    before, handlers = (sys.stdout, sys.stderr), list(logging.getLogger().handlers)
    with pytest.raises(ZeroDivisionError), captured():
        raise ZeroDivisionError
    assert (sys.stdout, sys.stderr) == before
    assert logging.getLogger().handlers == handlers
