"""Drift is from θ_0 with θ_0's own buffers, whichever step the probe first runs at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.catalog import registry as catalog
from pipeline.probes._view import Mode
from pipeline.spec.read import Cell
from pipeline.store.store import Store
from tests.helpers.stores.cells import IMAGES, cell
from tests.helpers.training.fixtures import (
    OPTIONS,
    dataset,
    loop_of,
    network_of,
    probe_settings,
    settings,
)
from tests.pipeline.probes.test_view import PAST_WARMUP
from tests.pipeline.training.test_checkpoint import digests, kill_half_way

LAST = 3
DRIFT = ("mean_drift", "mean_drift_p90", "log_std_drift", "log_std_drift_p90")


def configuration(name: str) -> list[Any]:
    return [{"name": name, **OPTIONS.get(name, {}), **PAST_WARMUP.get(name, {})}]


def blocks(name: str, mode: Mode, at: list[int]) -> list[dict[str, Any]]:
    config = configuration(name)
    probes = {"moment_ics": probe_settings("moment_ics", every=None, at=at, mode=mode)}
    given = settings(probes, config, steps=LAST + 1, evaluate_every=LAST + 1)
    loop = loop_of(given, dataset(), network_of(config))
    loop.run()
    return loop.outcome.probes["moment_ics"]


@pytest.mark.sampled("batch", "power_norm")
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", catalog.parts("normalizers"))
def test_a_record_does_not_depend_on_the_steps_before_it_that_are_measured(name: str, mode: Mode):
    first, last = blocks(name, mode, [0, LAST])
    (alone,) = blocks(name, mode, [LAST])
    assert repr(alone) == repr(last)  # the same bits; where all units are dead, not a number
    assert not any(value > 0 for column in DRIFT for value in first[column])
    assert any(value > 0 for column in DRIFT for value in last[column])


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("power_norm", "train"),
        ("moving_average_batch", "train"),
        ("spectral_norm", "train"),
        ("batch", "eval"),
    ],
)
def test_a_probe_that_first_runs_after_a_resume_finds_the_same(
    name: str, mode: Mode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    normalizer = {"name": name, **PAST_WARMUP.get(name, {})}
    images: Cell = cell(
        {**IMAGES, "normalizer": normalizer},
        steps=5,
        evaluate_every=5,
        evaluate_samples=8,
        probes={"moment_ics": {"at": [4], "mode": mode}},
    )
    store = Store(str(tmp_path / "results"))
    kill_half_way(images, store, monkeypatch)  # after two steps
    assert digests(images, store) == digests(images, Store(str(tmp_path / "whole")))
