"""Commands on terminals that are not UTF-8."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli.streams import printable
from pipeline.tracking.worker import _started
from pipeline.trial.log_capture import captured
from tests.helpers.stores.cells import REGRESSION, cell, sweep_content

ROOT = Path(__file__).parents[3]


def command(encoding: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "MLFLOW_TRACKING_URI": "none"}
    run = [sys.executable, "-m", *words]
    return subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, timeout=120)


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_the_catalog_on_a_terminal_without_greek_letters(encoding: str) -> None:
    done = command(encoding, "pipeline.catalog", "probes")
    assert (done.returncode, done.stderr) == (0, b"")
    whole = command("utf-8", "pipeline.catalog", "probes").stdout.decode()
    assert not whole.isascii()
    assert done.stdout.decode(encoding) == printable(whole, encoding)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["pipeline.sweep", "--help"], 0),
        (["pipeline.sweep", "FILE", "--dry-run"], 0),
        (["pipeline.sweep", "FILE", "--status"], 0),
        (["pipeline.sweep", "FILE", "--failures"], 0),
        (["pipeline.sweep", "FILE", "--set", "training.lr=größer→"], 2),
        (["pipeline.trial", "--help"], 0),
        (["pipeline.trial", "FILE", "--cell", "CELL"], 0),
        (["pipeline.catalog"], 0),
        (["pipeline.cluster", "FILE"], 2),
        (["analysis.report", "--help"], 0),
        (["analysis.report", "γ"], 2),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_every_command_on_an_ascii_terminal(words: list[str], code: int, tmp_path: Path) -> None:
    file = tmp_path / "größe.yaml"
    file.write_text(json.dumps({**sweep_content(REGRESSION), "description": "γ → β"}))
    names = {"FILE": str(file), "CELL": cell(REGRESSION).cell_id}
    given = [names.get(word, word) for word in words]
    if "FILE" in words and words[0] != "pipeline.cluster":
        given += ["--storage", str(tmp_path / "Läufe")]
    done = command("ascii", *given)
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert said.isascii()
    assert b"Traceback" not in said
    assert said


def test_a_cell_that_prints_an_emoji_does_not_fail_for_it() -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii", newline="\n")
    before, sys.stdout = sys.stdout, terminal
    try:
        with captured() as log:
            print("🏃 View run γ → β")
    finally:
        sys.stdout = before
    terminal.flush()
    assert log.text() == "🏃 View run γ → β\n"
    assert terminal.buffer.getvalue() == b"\\U0001f3c3 View run gamma -> beta\n"  # pyright: ignore


def test_what_mlflow_prints_comes_through_whatever_the_terminal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The process that mirrors cells speaks UTF-8; what is no UTF-8 stops nobody who listens."""
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    monkeypatch.setenv("LC_ALL", "C")
    loud = (
        "import sys; print('🏃 View run', file=sys.stderr); sys.stderr.buffer.write(b'\\xff!\\n')"
    )
    (tmp_path / "sitecustomize.py").write_text(loud, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with _started() as process:
        assert process.stderr is not None
        assert process.stdin is not None
        said = [process.stderr.readline() for _ in range(2)]
        process.kill()
    assert sorted(said) == ["�!\n", "🏃 View run\n"]
