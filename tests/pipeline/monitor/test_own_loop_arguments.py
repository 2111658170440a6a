"""What a monitor is given wrongly is said where it is given, and never ends a loop later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.monitor.monitor import Monitor
from pipeline.store.filesystem import SCHEMA
from pipeline.store.store import Store
from tests.pipeline.monitor.networks import (
    EVERY,
    LOSS,
    batch,
    data,
    finished,
    made,
    monitor_of,
    plain,
    rows_of,
)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"name": "My Study"}, "name: must be lower-case letters"),
        ({"probes": {"gradient_isc": {"every": 1}}}, "no probe 'gradient_isc'.*gradient_ics"),
        ({"probes": {"gradient_ics": {"log": 3}}}, r"give Monitor\(steps=...\)"),
        ({"labels": {"lr": "high"}}, "labels.lr: must be a number"),
        ({"labels": {"lr": float("nan")}}, "labels.lr: must be a number of at least 0, not nan"),
        ({"labels": ["mine"]}, "labels: must be a mapping as {'lr': 0.1}, not a list"),
        ({"steps": -3}, "steps: must be a whole number from 1 on, not -3"),
        ({"steps": 3.0}, "steps: must be a whole number from 1 on, not 3.0"),
        ({"traits": {"true_gradient": False}}, r"traits: must be normscope.Traits\(...\), not a d"),
        ({"stages": "stem"}, "stages: must be a list of modules or their paths, not a str"),
        (
            {"samples": data()[0]},
            r"samples: must be two tensors, \(inputs, targets\), not a Tensor",
        ),
        (
            {"samples": (data()[0], data()[1][:3])},
            "samples: has [0-9]+ inputs and 3 targets; must be one target for each input",
        ),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any], problem: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=problem):
        monitor_of(made("nested"), tmp_path, **options)


@pytest.mark.parametrize(
    ("network", "problem"),
    [
        (nn.Sequential(nn.Flatten(), nn.ReLU()), "network: has no parameters"),
        (nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), "network: has lazy modules; run it once"),
    ],
)
def test_a_network_that_cannot_be_trained_is_refused(
    network: nn.Module, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=problem):
        monitor_of(network, tmp_path)


def test_a_place_that_cannot_hold_results_is_refused_before_the_loop(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(ValueError, match=r"storage: .*taken must be a folder; .*taken is a file"):
        monitor_of(made("nested"), tmp_path, storage=str(tmp_path / "taken"))
    result = finished(made("nested"), tmp_path, storage=tmp_path)  # a path is as good as its text
    assert result["status"] == "ok"
    assert Store(str(tmp_path)).plans() == ["study"]


@pytest.mark.filterwarnings("ignore:gradient_ics. not measured from step 1")
@pytest.mark.parametrize("how", ["frozen", "replaced"])
def test_a_network_that_changes_ends_the_probes_and_not_the_loop(how: str, tmp_path: Path) -> None:
    network = nn.Sequential(made("nested"), nn.Linear(3, 3))
    monitor = monitor_of(network, tmp_path, labels={"lr": 0.1})
    inputs, targets = batch(0)
    for step in range(3):
        if step == 1 and how == "frozen":
            network[1].requires_grad_(False)
        elif step == 1:
            network[1] = nn.Linear(3, 3)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        loss = LOSS(network(inputs), targets)
        loss.backward()
        with monitor.step(inputs, targets, loss):
            optimizer.step()
    cell_id = monitor.finish()
    assert cell_id is not None
    result = Store(str(tmp_path)).result(cell_id)
    assert result["status"] == "ok"
    why = result["provenance"]["own_loop"]["unmeasured"]["gradient_ics"]
    assert why.endswith("its trained parameters are others than at the first step")
    assert {row["step"] for row in rows_of(tmp_path, result, "gradient_ics")} == {0}


@pytest.mark.filterwarnings("ignore:gradient_ics. not measured")
def test_a_loss_function_of_many_numbers_is_told(tmp_path: Path) -> None:
    single = nn.CrossEntropyLoss(reduction="none")
    monitor = Monitor(
        network := made("nested"), single, probes=EVERY, name="study", storage=str(tmp_path)
    )
    plain(network, monitor)
    cell_id = monitor.finish()
    assert cell_id is not None
    own = Store(str(tmp_path)).result(cell_id)["provenance"]["own_loop"]
    assert "loss_fn returns " in own["unmeasured"]["gradient_ics"]
    assert "numbers, not a tensor of one number" in own["unmeasured"]["gradient_ics"]


def test_the_name_of_a_sweep_file_is_refused(tmp_path: Path) -> None:
    plan = {"schema": SCHEMA, "name": "study", "description": "", "cells": []}
    Store(str(tmp_path)).write_plan(plan)
    with pytest.raises(ValueError, match="study is a sweep file's"):
        monitor_of(made("nested"), tmp_path)


def test_what_a_loop_hands_over_wrongly_is_said_where_it_does(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"network: must be a torch\.nn\.Module, not a function"):
        monitor_of(lambda x: x, tmp_path)  # pyright: ignore
    with pytest.raises(ValueError, match="probes: must be a mapping"):
        monitor_of(made("nested"), tmp_path, probes=["gradient_ics"])
    monitor = monitor_of(made("nested"), tmp_path)
    inputs, targets = batch(0)
    summed = pytest.raises(ValueError, match="loss must be one number, not 3")
    with summed, monitor.step(inputs, targets, torch.zeros(3)):
        pass
    for wrong, what in ((None, "None"), ("1.0", "a str")):
        refused = pytest.raises(ValueError, match=f"loss must be a number or a tensor, not {what}")
        with refused, monitor.step(inputs, targets, wrong):  # pyright: ignore
            pass
    empty = pytest.raises(ValueError, match=r"inputs must be a batch, not a tensor of shape \(0,")
    with empty, monitor.step(inputs[:0], targets[:0], 1.0):
        pass
    frozen = monitor_of(made("nested").requires_grad_(False), tmp_path)
    refused = pytest.raises(ValueError, match="all parameters of the network are frozen")
    with refused, frozen.step(inputs, targets, 1.0):
        pass
    nested = pytest.raises(ValueError, match="within another one")
    with nested, monitor.step(inputs, targets, 1.0), monitor.step(inputs, targets, 1.0):
        pass
    for wrong in (91.0, -3.0):
        with pytest.raises(ValueError, match="must be a share, from 0 to 1"):
            monitor.evaluated(test_accuracy=wrong)
    for none, what in ((None, "a NoneType"), ("0.9x", "'0.9x'"), (torch.ones(2), "a Tensor")):
        with pytest.raises(ValueError, match=f"test_accuracy: must be one number, not {what}"):
            monitor.evaluated(test_accuracy=none)  # pyright: ignore
