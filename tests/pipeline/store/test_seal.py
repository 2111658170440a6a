"""A result that is not what a trial has written is refused, whatever was changed in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.store.filesystem import StoreError
from pipeline.store.seal import is_altered, sealed
from pipeline.store.store import Store
from tests.pipeline.store.conftest import result, tables

NUMBERS = {"summary": {"test_accuracy": 0.5, "steps": 3}, "provenance": {"commit": "f" * 40}}


@pytest.fixture
def written(local: Store) -> Store:
    local.write_result(result(**NUMBERS), tables())
    return local


def edit(store: Store, change: Callable[[dict[str, Any]], object]) -> None:
    file = Path(store.root) / "cells/aa/result.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "change",
    [
        lambda result: result["summary"].update(test_accuracy=9.0),
        lambda result: result["summary"].update(test_accuracy=float("nan")),
        lambda result: result["summary"].pop("steps"),
        lambda result: result.update(status="diverged"),
        lambda result: result["provenance"].update(commit="0" * 40),
        lambda result: result.update(note="new"),
        lambda result: result.update(sha256="0" * 64),
    ],
)
def test_an_edited_result_is_refused(
    change: Callable[[dict[str, Any]], object], written: Store
) -> None:
    edit(written, change)
    with pytest.raises(StoreError, match=r"cells/aa/result\.json: (not the file|damaged)"):
        written.result("aa")


def test_another_layout_of_the_same_values_is_no_edit(written: Store) -> None:
    before = written.result("aa")
    edit(written, lambda result: result.update(dict(sorted(result.items(), reverse=True))))
    assert written.result("aa") == before


def test_a_result_of_before_is_read(written: Store) -> None:
    edit(written, lambda result: result.pop("sha256"))
    assert "sha256" not in written.result("aa")


def test_secrets_do_not_make_a_result_look_edited() -> None:
    kept = json.loads(json.dumps(sealed({"path": "s3://ada:hunter2@host/x", "half": 0.1 + 0.2})))
    assert kept["path"] == "s3://***@host/x"
    assert not is_altered(kept)
