"""What of a cell MLflow shows first, of which there is more than one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.store.store import Store
from pipeline.tracking.payload import parameters, points
from pipeline.trial.run import run_trial
from tests.helpers.stores.cells import IMAGES, REGRESSION, cell


def test_the_optimizer_s_name_has_one_key_in_both_its_forms() -> None:
    labels = {"data": "digits", "architecture": "vgg11", "normalizer": "batch"}
    for optimizer in ("adam", {"name": "adam", "clip": 1.0}):
        result = {"labels": labels, "settings": {"training": {"lr": 0.1, "optimizer": optimizer}}}
        found = dict(parameters(result))
        assert found["training.optimizer"] == "adam"
    assert found["training.optimizer.clip"] == 1.0
    assert "training.optimizer.name" not in found


@pytest.mark.parametrize(
    ("parts", "first"),
    [(IMAGES, "final/test_accuracy"), (REGRESSION, "final/test_loss")],
    ids=["images", "regression"],
)
def test_what_runs_are_compared_by_comes_first_and_every_point_once(
    parts: dict[str, object], first: str, tmp_path: Path
) -> None:
    store = Store(str(tmp_path))
    result = run_trial(cell(parts), store, "cpu")
    found = list(points(result, store.files(result)))
    assert found[0][0] == first
    assert len({(key, step) for key, _, step in found}) == len(found)
    assert {"final/steps", "training/train_loss"} < {key for key, _, _ in found}
