"""A result's summary and cost, from outcomes written by hand."""

from __future__ import annotations

import math
from importlib.metadata import version
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.spec.read import Cell
from pipeline.training.outcome import Outcome
from pipeline.trial import provenance as provenance_module
from pipeline.trial.provenance import provenance
from pipeline.trial.result import describe, tables

SETTINGS: dict[str, Any] = {
    "data": {"name": "digits"},
    "architecture": {"name": "vgg11"},
    "normalizer": [{"name": "batch"}],
    "training": {"precision": "tf32", "optimizer": "sgd"},
    "probes": {},
    "seed": 0,
}
CELL = Cell(SETTINGS, {"architecture": "vgg11"}, "aa")


def outcome(losses: list[float], diverged: int | None = None, **changes: Any) -> Outcome:
    steps = list(range(len(losses)))
    curve = {
        "step": steps,
        "lr": [0.1] * len(losses),
        "train_loss": losses,
        "train_accuracy": [step / 100 for step in steps],
    }
    evaluated = {"validation_loss": 1.0, "validation_accuracy": 0.5}
    evaluated |= {"test_loss": 2.0, "test_accuracy": 0.25}
    evaluated |= {"eval_train_loss": 0.75, "eval_train_accuracy": 0.625}
    evaluations = [{"step": 0, **dict.fromkeys(evaluated, 9.0)}]
    evaluations.append({"step": len(losses), **evaluated})
    return Outcome(
        diverged_step=diverged,
        curve=curve,
        evaluations=evaluations,
        chance_loss=2.5,
        steps_taken=len(losses),
        **changes,
    )


def described(outcome: Outcome) -> dict[str, Any]:
    return describe(CELL, outcome, nn.Linear(3, 2), "digest", 9.0, {"training": "c0de"})


def test_the_summary_of_a_run() -> None:
    found = described(outcome([3.0] + [1.0] * 37 + [0.5, 0.25]))
    assert (found["status"], found["diverged_step"]) == ("ok", None)
    assert found["summary"] == {
        "steps": 40,
        "chance_loss": 2.5,
        "initial_loss": 3.0,
        "final_train_loss": 0.375,
        "train_accuracy": 0.385,
        "eval_train_loss": 0.75,
        "eval_train_accuracy": 0.625,
        "validation_loss": 1.0,
        "validation_accuracy": 0.5,
        "test_loss": 2.0,
        "test_accuracy": 0.25,
        "parameters": 8,
    }
    assert found["provenance"]["data_digest"] == "digest"
    assert found["provenance"]["sources"] == {"training": "c0de"}
    assert found["provenance"]["precision"] == "tf32"


def test_a_result_names_its_kind_of_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert provenance(torch.device("cpu"), "")["device_type"] == "cpu"
    monkeypatch.setattr(provenance_module, "_device_name", lambda device: "NVIDIA H200")
    found = provenance(torch.device("cuda"), "")
    assert (found["device"], found["device_type"]) == ("NVIDIA H200", "cuda")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"deterministic": True, "benchmark": False}, "cudnn"),
        ({"deterministic": True, "benchmark": True}, "none"),
        ({"deterministic": False, "benchmark": False}, "none"),
    ],
)
def test_a_result_names_its_deterministic_mode(
    told: dict[str, bool], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in told.items():
        monkeypatch.setattr(torch.backends.cudnn, name, value)
    assert provenance(torch.device("cpu"), "")["deterministic"] == expected
    torch.use_deterministic_algorithms(True)
    try:
        assert provenance(torch.device("cpu"), "")["deterministic"] == "all"
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(("steps", "averaged"), [(1, 1), (10, 1), (29, 1), (31, 2), (400, 20)])
def test_the_final_loss_is_a_mean_over_a_twentieth(steps: int, averaged: int) -> None:
    losses = [float(step) for step in range(steps)]
    expected = sum(losses[-averaged:]) / averaged
    assert described(outcome(losses))["summary"]["final_train_loss"] == expected


def test_a_diverged_run_has_no_trained_network_to_evaluate() -> None:
    found = described(outcome([1.0, 50.0, math.nan], diverged=2))
    assert (found["status"], found["diverged_step"]) == ("diverged", 2)
    for key in ("final_train_loss", "eval_train_loss", "eval_train_accuracy", "test_loss"):
        assert found["summary"][key] is None
    assert found["summary"]["initial_loss"] == 1.0
    assert found["summary"]["steps"] == 3


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_summary_holds_what_json_cannot(value: float) -> None:
    wild = outcome([value])
    wild.evaluations[-1] |= {"test_loss": value}
    summary = described(wild)["summary"]
    assert summary["initial_loss"] is summary["final_train_loss"] is summary["test_loss"] is None


def test_the_cost_of_a_step_is_that_of_all_steps_taken() -> None:
    late = outcome(
        [1.0, math.nan],
        diverged=1,
        training_seconds=5.0,
        evaluation_seconds=2.0,
        probe_seconds={"gradient_ics": 1.0},
        probe_memory={"gradient_ics": 512},
        peak_memory=2048,
    )
    late.steps_taken = 50
    assert described(late)["cost"] == {
        "seconds": 9.0,
        "training_seconds": 5.0,
        "evaluation_seconds": 2.0,
        "probe_seconds": {"gradient_ics": 1.0},
        "probe_memory_bytes": {"gradient_ics": 512},
        "seconds_per_step": 0.1,
        "peak_memory_bytes": 2048,
    }


def test_a_regression_has_no_accuracy() -> None:
    plain = outcome([2.0, 1.0])
    plain.curve["train_accuracy"] = [None, None]
    assert described(plain)["summary"]["train_accuracy"] is None


def test_frozen_parameters_count_too() -> None:
    network = nn.Linear(3, 2)
    network.bias.requires_grad_(False)
    found = describe(CELL, outcome([1.0]), network, "digest", 1.0, {})
    assert found["summary"]["parameters"] == 8


def test_tables_by_name() -> None:
    block = {"step": [0, 0], "layer": ["a", "b"], "relative": [0.0, 1.0]}
    found = tables(outcome([2.0, 1.0], probes={"gradient_ics": [block]}))
    assert {name: table.num_rows for name, table in found.items()} == {
        "training": 3,
        "gradient_ics": 2,
    }


def test_versions_are_of_what_the_parts_and_the_network_are_made_of() -> None:
    found = describe(CELL, outcome([1.0]), nn.Linear(3, 2), "", 1.0, {})
    versions = found["provenance"]["versions"]
    assert versions["scikit-learn"] == version("scikit-learn")  # the data's
    assert "schedulefree" not in versions
