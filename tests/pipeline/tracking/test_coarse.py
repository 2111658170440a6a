"""What MLflow gets: at most 50 keys and 40 points a curve, finite, the first and last kept."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest

from pipeline.catalog import registry as catalog
from pipeline.tracking.coarse import HEADLINES, MAX_KEYS, MAX_POINTS, coarse_curves
from pipeline.trial.record_tables import probe_table, training_table
from tests.pipeline.trial.test_record_tables import evaluation

RESULT: dict[str, Any] = {
    "summary": {"final_train_loss": 0.5, "test_loss": 2, "test_accuracy": None},
    "cost": {"seconds": 3.0, "seconds_per_step": 0.5, "probe_seconds": {}, "peak_memory_bytes": 7},
}


def training(losses: list[Any]) -> pa.Table:
    steps = list(range(len(losses)))
    curve = {"step": steps, "lr": [0.1] * len(losses), "train_loss": losses}
    last = evaluation(len(losses), 0.25)
    return training_table({**curve, "train_accuracy": [None] * len(losses)}, [evaluation(0), last])


def probe(columns: int, steps: int = 3) -> pa.Table:
    names = [f"measure{i:02d}" for i in range(columns)]
    return probe_table(
        [
            {"step": [t, t], "layer": ["a", "b"], "index": [1, 2], **{n: [1.0, 3.0] for n in names}}
            for t in range(steps)
        ]
    )


def test_keys_and_values() -> None:
    curves = coarse_curves(RESULT, {"training": training([3.0, 1.0]), "gradient_ics": probe(1)})
    assert curves["final/final_train_loss"] == [(0, 0.5)]
    assert curves["final/test_loss"] == [(0, 2.0)]
    assert curves["final/seconds_per_step"] == [(0, 0.5)]
    assert curves["training/train_loss"] == [(0, 3.0), (1, 1.0)]
    assert curves["training/test_loss"] == [(0, 1.5), (2, 0.25)]
    assert curves["gradient_ics/measure00"] == [(0, 3.0), (1, 3.0), (2, 3.0)]
    assert not {"final/test_accuracy", "training/lr", "gradient_ics/index"} & curves.keys()
    assert not curves.get("training/train_accuracy")


@pytest.mark.parametrize("steps", [1, 2, 39, 40, 41, 78, 79, 80, 400, 15_001])
def test_curves_are_thinned_between_their_ends(steps: int) -> None:
    curves = coarse_curves(RESULT, {"training": training([float(t) for t in range(steps)])})
    curve = curves["training/train_loss"]
    assert (curve[0], curve[-1]) == ((0, 0.0), (steps - 1, steps - 1.0))
    assert len(curve) <= MAX_POINTS
    assert len(curve) >= min(steps, MAX_POINTS // 2)
    assert all(step == value for step, value in curve)
    assert [step for step, _ in curve] == sorted({step for step, _ in curve})


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_only_finite_values_arrive(bad: float) -> None:
    tables = {
        "training": training([3.0, bad, 1.0, bad]),
        "landscape": probe_table(
            [{"step": [0, 0, 1, 1, 2, 2], "value": [1.0, None, bad, bad, 2.0, 4.0]}]
        ),
    }
    curves = coarse_curves(RESULT, tables)
    assert curves["training/train_loss"] == [(0, 3.0), (2, 1.0)]
    assert curves["landscape/value"] == [(0, 1.0), (2, 3.0)]
    assert all(math.isfinite(value) for curve in curves.values() for _, value in curve)


@pytest.mark.parametrize("probes", [1, 2, 3, 7, 60])
def test_the_number_of_keys_is_bounded_and_shared(probes: int) -> None:
    tables = {f"probe{i}": probe(60) for i in range(probes)}
    curves = coarse_curves(RESULT, {"training": training([1.0]), **tables})
    assert len(curves) <= MAX_KEYS
    counts = {sum(key.startswith(f"probe{i}/") for key in curves) for i in range(probes)}
    assert len(counts) == 1
    assert (counts == {0}) == (probes == 60)
    assert "training/test_accuracy" in curves


def test_headlines_come_first_and_are_columns_of_their_probes() -> None:
    table = probe_table(
        [{"step": [0], "index": [2], "l2": [5.0], "other": [3.0], "relative": [0.5]}]
    )
    many = {f"probe{i}": probe(9) for i in range(15)}
    curves = coarse_curves(RESULT, {"training": training([1.0]), "gradient_ics": table, **many})
    assert [key for key in curves if key.startswith("gradient_ics/")] == [
        "gradient_ics/relative",
        "gradient_ics/l2",
    ]
    assert HEADLINES.keys() <= catalog.parts("probes").keys()


def test_one_place_and_the_whole_network_stand_for_a_probe() -> None:
    places = {"step": [0, 0, 0], "place": ["activation", "activation", "output"]}
    rows = {"step": [0, 0, 0], "layer": ["network", "a", "b"], "index": [0, 1, 2]}
    tables = {
        "training": training([1.0]),
        "moment_ics": probe_table([{**places, "mean_shift": [1.0, 3.0, 100.0]}]),
        "gradient_noise": probe_table([{**rows, "relative": [7.0, 1.0, 2.0]}]),
    }
    curves = coarse_curves(RESULT, tables)
    assert curves["moment_ics/mean_shift"] == [(0, 2.0)]
    assert curves["gradient_noise/relative"] == [(0, 7.0)]


def test_no_curve_mixes_kinds_radii_ranges_or_directions() -> None:
    balls = {"step": [9] * 4, "kind": ["sam", "sam", "average", "average"], "rho": [0.05, 0.5] * 2}
    lines = {"step": [0, 0], "range": ["lr", "common"], "direction": ["gradient", "random"]}
    tables = {
        "training": training([1.0]),
        "sharpness": probe_table([{**balls, "sharpness": [1.0, 2.0, 3.0, 4.0]}]),
        "landscape": probe_table([{**lines, "effective_beta": [5.0, 6.0]}]),
    }
    curves = coarse_curves(RESULT, tables)
    found = {key: curve[0][1] for key, curve in curves.items() if key[:5] in ("sharp", "lands")}
    assert found == {
        "sharpness/sam_0.05/sharpness": 1.0,
        "sharpness/sam_0.5/sharpness": 2.0,
        "sharpness/average_0.05/sharpness": 3.0,
        "sharpness/average_0.5/sharpness": 4.0,
        "landscape/gradient_lr/effective_beta": 5.0,
        "landscape/random_common/effective_beta": 6.0,
    }


def test_a_curve_is_the_median_over_layers_as_in_the_report() -> None:
    rows = {"step": [0] * 4, "layer": list("abcd"), "index": [1, 2, 3, 4]}
    tables = {
        "training": training([1.0]),
        "gradient_ics": probe_table([{**rows, "relative": [0.0, 1.0, 2.0, 30.0]}]),
    }
    assert coarse_curves(RESULT, tables)["gradient_ics/relative"] == [(0, 2.0)]
