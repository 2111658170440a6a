"""When probes look, and what is kept of what they saw."""

from __future__ import annotations

import math

import pytest

from pipeline.training.loop import train
from tests.helpers.training.fixtures import (
    ALL,
    dataset,
    loop_of,
    network_of,
    probe_settings,
    settings,
)
from tests.helpers.training.views import NORMALIZERS


def test_the_order_of_probes_in_the_file_changes_nothing():
    """The cell id does not know it either."""
    names = ["scale_invariant", "curvature", "landscape"]
    probes = {name: probe_settings(name) for name in names}
    found = [
        train(settings(dict(given)), dataset(), network_of(["batch"])).probes
        for given in (probes.items(), reversed(probes.items()))
    ]
    for name in names:
        assert repr(found[0][name]) == repr(found[1][name])  # NaN is not itself
    assert math.isfinite(found[0]["scale_invariant"][0]["eta_lambda_max"][0])


def test_records_have_their_step_and_the_time_is_kept():
    steps = {"gradient_ics": [0, 2], "moment_ics": [1]}
    probes = {name: probe_settings(name, every=None, at=at) for name, at in steps.items()}
    outcome = train(settings(probes), dataset(), network_of(["batch"]))
    for name, at in steps.items():
        blocks = outcome.probes[name]
        assert [block["step"] for block in blocks] == [[t] * len(blocks[0]["layer"]) for t in at]
        assert all(len(column) == len(b["step"]) for b in blocks for column in b.values())
        assert outcome.probe_seconds[name] > 0
    assert outcome.probe_memory == dict.fromkeys(steps)


def test_copies_are_made_only_where_a_probe_is_due():
    probes = {"moment_ics": probe_settings("moment_ics", every=None, at=[2])}
    observer = loop_of(settings(probes), dataset(), network_of(["none"])).observer
    assert [observer.due(step) for step in range(3)] == [False, False, True]
    assert not loop_of(settings({}), dataset(), network_of(["none"])).observer.due(0)


@pytest.mark.parametrize("norm", ["none", "noisy_batch", "weight_standardization+group"])
@pytest.mark.parametrize("lr", [1e4, 1e30])
def test_a_run_that_diverges_is_observed_to_its_end(norm: str, lr: float):
    training = {"lr": lr, "divergence_factor": float("inf"), "momentum": 0.0}
    probes = {name: probe | {"every": 1} for name, probe in ALL.items()}
    cell = settings(probes, NORMALIZERS[norm], **training)
    outcome = train(cell, dataset(), network_of(NORMALIZERS[norm]))
    seen = 3 if outcome.diverged_step is None else min(outcome.diverged_step + 1, 3)
    assert {len(blocks) for blocks in outcome.probes.values()} == {seen}


def test_negative_steps_count_from_the_end():
    probes = {"moment_ics": probe_settings("moment_ics", every=None, at=[-1])}
    (block,) = train(settings(probes), dataset(), network_of(["none"])).probes["moment_ics"]
    assert set(block["step"]) == {2}
