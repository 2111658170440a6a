"""Errors of commands: one line, no secrets, and an exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.cli.errors import exit_code, print_error

ROOT = Path(__file__).parents[3]


def raising(error: BaseException) -> Callable[[], int]:
    def action() -> int:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ValueError("s.yaml:3: lr: no"), 2, "s.yaml:3: lr: no\n"),
        (ValueError("one\n  two   words\n\n"), 2, "one\ntwo words\n"),
        (ValueError("http://ada:hunter2@host refused"), 2, "http://***@host refused\n"),
        (PermissionError(13, "Permission denied", "/r"), 2, "/r: Permission denied\n"),
        (KeyboardInterrupt(), 130, "\ninterrupted: it goes on\n"),
    ],
)
def test_what_an_error_becomes(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(raising(error), "it goes on") == code
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize("error", [BrokenPipeError(), ZeroDivisionError(), SystemExit(3)])
def test_what_is_no_mistake_of_the_user_is_left_alone(error: BaseException) -> None:
    with pytest.raises(type(error)):
        exit_code(raising(error), "it goes on")


def test_a_code_is_passed_on() -> None:
    assert exit_code(lambda: 1, "") == 1


def test_secrets_of_the_environment_are_not_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "hunter2-token")
    print_error("refused hunter2-token")
    assert capsys.readouterr().err == "refused ***\n"


@pytest.mark.parametrize(
    "words",
    [
        ["pipeline.sweep", "sweeps/quickstart.yaml", "--status"],
        ["pipeline.sweep", "sweeps/quickstart.yaml", "--dry-run"],
        ["analysis.report", "quickstart"],
    ],
    ids=" ".join,
)
def test_an_object_store_without_credentials_is_one_line(words: list[str], tmp_path: Path) -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nowhere = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-m", *words, "--storage", "s3://bucket/results"],
        cwd=ROOT,
        env={**bare, **nowhere, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "s3://bucket/results/" in done.stderr
    assert "NoCredentialsError: Unable to locate credentials; set AWS_PROFILE, or" in done.stderr
