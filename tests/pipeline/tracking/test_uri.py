from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.tracking.uri import existing_tracking, tracking_uri


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_a_local_store_holds_its_own_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert tracking_uri(None, "results") == f"sqlite:///{tmp_path}/results/mlflow.db"
    assert (tmp_path / "results").is_dir()


@pytest.mark.parametrize(
    ("given", "uri"), [("none", None), ("http://127.0.0.1:5000", "http://127.0.0.1:5000")]
)
def test_what_is_given_counts(given: str, uri: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracking_uri(given, "s3://bucket/results") == uri
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    assert tracking_uri(None, "s3://bucket/results") == uri
    assert existing_tracking("results") == uri


def test_a_remote_store_needs_a_word() -> None:
    with pytest.raises(ValueError, match="--tracking: say where MLflow is"):
        tracking_uri(None, "s3://bucket/results")


def test_a_report_finds_the_database_that_is_there(tmp_path: Path) -> None:
    assert existing_tracking(str(tmp_path)) is None
    (tmp_path / "mlflow.db").touch()
    assert existing_tracking(str(tmp_path)) == f"sqlite:///{tmp_path}/mlflow.db"
