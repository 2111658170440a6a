"""What measures say of themselves, and the columns that are made for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import metrics
from analysis.load.sources import load
from analysis.reductions import record_views
from analysis.tables.associations import HEADLINE
from tests.helpers.stores.synthetic import write_store

PROBED = [*metrics.ICS, *metrics.SMOOTHNESS, *metrics.SHARPNESS, *metrics.THEORY]
BY_KEY = {item.measure.key: item.measure for item in PROBED}


def test_keys_are_unique() -> None:
    assert len(BY_KEY) == len(PROBED)


def test_a_fixed_rate_times_what_rescales_rescales() -> None:
    for key in metrics.TWINS:
        assert BY_KEY[key].rescales  # marked † in the tables
        assert key not in HEADLINE  # and no comparison of its own
    assert not BY_KEY["scale_invariant_weight_squared_times_lambda_early"].rescales


@pytest.mark.parametrize("phase", ["early", "late", "loss"])
def test_the_paper_s_own_range_is_in_nats(phase: str) -> None:
    assert BY_KEY[f"landscape_loss_range_{phase}"].unit == "nats"


def test_a_turn_is_one_minus_the_cosine_and_never_negative() -> None:
    rows = pd.DataFrame({"cell_id": "a", "step": [0, 0, 1], "index": [2, 3, 2]})
    rows["cosine"] = [0.5, 0.9, 1 + 1e-7]
    runs = pd.DataFrame({"cell_id": ["a"], "diverged_step": [np.nan]})
    found = record_views.at_probes({"gradient_ics": rows, "training": pd.DataFrame()}, runs)
    assert found["gradient_ics"]["turn"].tolist() == pytest.approx([0.3, 0.0])


def test_the_largest_gap_is_that_of_one_layer(tmp_path: Path) -> None:
    options = {"architectures": ["vgg11"], "normalizers": ["batch"], "seeds": [0]}
    write_store(tmp_path, **options, lrs=[0.1], steps=20, tables=["training", "batchnorm_theorems"])
    study = load(str(tmp_path))
    rows, largest = study.records["batchnorm_theorems"], study.reduced["layers/batchnorm_theorems"]
    for name in ("gap_41", "gap_42"):
        assert largest[name].tolist() == [rows[name].max()]
        assert rows[name].max() > rows.groupby("step")[name].median().max()
