"""A monitor in a user's loop: stages, what cannot be measured, what is recorded."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pipeline.monitor.monitor import Monitor
from pipeline.monitor.observed import ObservedNetwork
from pipeline.monitor.stages import Stage
from pipeline.probes._layers import parameters_by_layer
from pipeline.store.store import Store
from tests.pipeline.monitor.networks import (
    EVERY,
    LOSS,
    SIZE,
    Nested,
    batch,
    data,
    finished,
    made,
    monitor_of,
    rows_of,
    several,
)

# Stages -------------------------------------------------------------------------------------------


def observed(name: str, stages: Sequence[str | Stage] | None = None) -> ObservedNetwork:
    return ObservedNetwork(made(name), LOSS, batch(0)[0], stages)


def test_layers_stand_in_the_order_of_their_calls() -> None:
    found = observed("nested")
    names = [f"blocks.{block}.conv{i}" for block in (0, 1) for i in (1, 2)]
    assert [layer.name for layer in found.weight_layers()] == ["stem", *names, "head"]
    assert [layer.stage for layer in found.weight_layers()] == [0, 1, 1, 2, 2, 3]
    owned = parameters_by_layer(found)  # pyright: ignore
    assert owned[1].all == ("blocks.0.conv1.weight", "blocks.0.norm1.weight", "blocks.0.norm1.bias")
    every = [name for layer in owned for name in layer.all]
    assert sorted(every) == sorted(name for name, _ in found.named_parameters())


def test_a_shared_weight_belongs_to_the_first_layer_that_is_called() -> None:
    found = observed("shared")
    assert [layer.name for layer in found.weight_layers()] == ["first", "twice", "last"]
    owned = {layer.name: layer.all for layer in parameters_by_layer(found)}  # pyright: ignore
    assert owned["twice"] == ("twice.weight", "twice.bias", "head.bias")
    assert "twice is called 2 times per forward" in " ".join(found.notes)


def test_frozen_parameters_are_constants() -> None:
    found = observed("frozen")
    assert [layer.name for layer in found.weight_layers()] == [
        "blocks.1.conv1",
        "blocks.1.conv2",
        "head",
    ]
    assert "stem.weight" not in dict(found.named_parameters())


@pytest.mark.parametrize(("name", "why"), [("shared", "torch.fx"), ("dropout", "random numbers")])
def test_a_network_that_cannot_be_cut_is_one_stage(name: str, why: str) -> None:
    found = observed(name)
    assert len(found) == 1
    assert why in found.notes[0]


def test_stages_of_a_list_give_the_numbers_of_one_stage(tmp_path: Path) -> None:
    def flatten(x: Tensor) -> Tensor:
        return x.mean((2, 3))

    class Sealed(Nested):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) if float(x.sum()) != 0 else x  # which torch.fx cannot trace

    results = []
    for stages in (False, True):
        torch.manual_seed(0)
        network = Sealed()
        own = None
        if stages:
            own = [network.stem, lambda x, n=network: x * n.scale, "blocks", flatten, "head"]
        folder = tmp_path / str(stages)
        result = finished(network, folder, stages=own)
        notes = " ".join(result["provenance"]["own_loop"]["notes"])
        assert ("one stage" in notes) is not stages
        results.append(rows_of(folder, result, "gradient_ics"))
    assert len(results[0]) == 3 * 6
    for row, other in zip(*results, strict=True):
        numbers = {k: v for k, v in row.items() if isinstance(v, float)}
        assert numbers == pytest.approx({k: other[k] for k in numbers}, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("stages", "problem"),
    [
        (["stem", "head"], "stages:"),
        (["stem", "blocks", "hed"], "stages: the network has no module 'hed'"),
    ],
)
def test_stages_that_are_not_the_network_are_refused(stages: list[str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        observed("nested", stages)


# What is measured, and what is not ----------------------------------------------------------------


def test_a_probe_that_cannot_measure_says_why_and_the_loop_goes_on(tmp_path: Path) -> None:
    probes = {**EVERY, "gradient_noise": {"every": 1}, "batchnorm_theorems": {"every": 1}}
    with pytest.warns(UserWarning, match="not measured from step 0 on") as caught:
        result = finished(made("moving"), tmp_path, probes=probes)
    assert len(caught) == 2
    found = result["provenance"]["own_loop"]["unmeasured"]
    assert found.keys() == {"gradient_noise", "batchnorm_theorems"}
    assert "give Monitor(samples=(inputs, targets))" in found["gradient_noise"]
    assert "the network has nothing that it measures" in found["batchnorm_theorems"]
    assert result["records"].keys() == {"training.parquet", "gradient_ics.parquet"}
    assert result["summary"]["steps"] == 3


def test_a_loss_that_is_not_the_loops_is_noted(tmp_path: Path) -> None:
    network = made("nested")
    monitor = monitor_of(network, tmp_path)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    inputs, targets = batch(0)
    loss = 3 * LOSS(network(inputs), targets)
    loss.backward()
    with pytest.warns(UserWarning, match="the loop's loss was"), monitor.step(*batch(0), loss):
        optimizer.step()


def test_learning_rates_are_those_of_the_optimizers(tmp_path: Path) -> None:
    result = finished(made("nested"), tmp_path, loop=several)
    curve = rows_of(tmp_path, result, "training")
    assert [row["lr"] for row in curve[:3]] == [0.05, 0.025, 0.0125]
    assert result["labels"]["lr"] == 0.05
    assert result["settings"]["training"]["optimizer"] == "SGD+Adam"
    assert "learning rates of parameter groups differ" in str(result["provenance"]["own_loop"])
    assert result["summary"]["test_accuracy"] == 0.5


class Slow(torch.optim.SGD):
    """An optimizer of another package."""


def test_versions_of_what_the_network_and_the_optimizer_are_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Slow, "__module__", "yaml.slow")
    network = nn.Sequential(made("nested"))

    def loop(network: nn.Module, monitor: Monitor) -> None:
        optimizer = Slow(network.parameters(), lr=0.1)
        inputs, targets = batch(0)
        loss = LOSS(network(inputs), targets)
        loss.backward()
        with monitor.step(inputs, targets, loss):
            optimizer.step()

    versions = finished(network, tmp_path, loop)["provenance"]["versions"]
    assert versions["PyYAML"] == version("PyYAML")


def test_probe_batches_are_of_the_samples(tmp_path: Path) -> None:
    probes = {"moment_ics": {"at": [0], "batch_size": SIZE}}
    first = finished(made("nested"), tmp_path / "a", probes=probes)
    assert "first step's batch" in str(first["provenance"]["own_loop"]["notes"])
    other = finished(made("nested"), tmp_path / "b", probes=probes, samples=data())
    assert "first step's batch" not in str(other["provenance"]["own_loop"]["notes"])
    rows = [rows_of(tmp_path / n, r, "moment_ics") for n, r in (("a", first), ("b", other))]
    assert rows[0] != rows[1]


def test_a_run_that_diverges_ends_there(tmp_path: Path) -> None:
    network = made("nested")
    monitor = monitor_of(network, tmp_path)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for step in range(4):
        inputs, targets = batch(step)
        loss = LOSS(network(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        with monitor.step(inputs, targets, loss):
            optimizer.step()
        if step == 1:
            with torch.no_grad():
                network.get_parameter("head.weight").fill_(float("nan"))
    cell_id = monitor.finish()
    assert cell_id is not None
    result = Store(str(tmp_path)).result(cell_id)
    assert (result["status"], result["diverged_step"]) == ("diverged", 2)
    assert {row["step"] for row in rows_of(tmp_path, result, "gradient_ics")} <= {0, 1, 2}


@pytest.mark.parametrize("last", [0, 3])
def test_a_run_that_is_finished_with_nan_is_diverged(last: int, tmp_path: Path) -> None:
    """A loss that is not finite at any step, the last one too, whatever finish is told."""
    network = made("nested")
    monitor = monitor_of(network, tmp_path)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for step in range(4):
        inputs, targets = batch(step)
        loss = LOSS(network(inputs), targets) * (float("nan") if step == last else 1.0)
        with monitor.step(inputs, targets, loss):
            optimizer.step()
    cell_id = monitor.finish(test_accuracy=0.9)
    assert cell_id is not None
    result = Store(str(tmp_path)).result(cell_id)
    assert (result["status"], result["diverged_step"]) == ("diverged", last)
    assert result["summary"]["test_accuracy"] is None
    assert "diverged" in str(Monitor.finish.__doc__)


def test_an_optimizer_of_another_network_is_told(tmp_path: Path) -> None:
    network, other = made("nested"), nn.Linear(3, 2)
    stranger = torch.optim.SGD(other.parameters(), lr=0.1)
    inputs, targets = batch(0)
    monitor = monitor_of(network, tmp_path)
    says = r"stepped within it \(SGD\) has no parameter of the network; make it of network\.para"
    refused = pytest.raises(ValueError, match=says)
    with refused, monitor.step(inputs, targets, 1.0):
        stranger.step()
    # An optimizer may hold copies of the parameters; then a label has the rate, and a note is kept.
    known = monitor_of(network, tmp_path, labels={"lr": 0.1})
    for _ in range(2):
        with known.step(inputs, targets, LOSS(network(inputs), targets)):
            stranger.step()
    cell_id = known.finish()
    assert cell_id is not None
    notes = Store(str(tmp_path)).result(cell_id)["provenance"]["own_loop"]["notes"]
    told = [note for note in notes if "has no parameter of the network" in note]
    assert len(told) == 1


# Cells --------------------------------------------------------------------------------------------


def test_runs_of_a_study_have_cells_by_label(tmp_path: Path) -> None:
    kinds = [{"normalizer": "mine"}, {"normalizer": "mine", "width": 2}, {"normalizer": "mine"}]
    ids = [finished(made("moving"), tmp_path, labels=labels)["cell_id"] for labels in kinds]
    assert ids[0] == ids[2] != ids[1]
    plan = Store(str(tmp_path)).plan("study")
    assert plan["cells"] == ids[:2]
    assert plan["labels"][ids[1]] == {
        "data": "own",
        "architecture": "Moving",
        "normalizer": "mine",
        "lr": 0.05,
        "seed": 0,
        "training": "width=2",
    }


def test_a_step_that_is_never_taken_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no step was taken"):
        monitor_of(made("nested"), tmp_path).finish()


def test_log_spaced_steps_with_a_known_number(tmp_path: Path) -> None:
    probes = {"gradient_ics": {"log": 2, "at": [-2]}}
    result = finished(made("moving"), tmp_path, probes=probes, steps=3)
    assert {row["step"] for row in rows_of(tmp_path, result, "gradient_ics")} == {0, 1, 2}
