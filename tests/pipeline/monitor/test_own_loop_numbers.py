"""A monitor's numbers are those of the same cell run by a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from pipeline.architectures import Network
from pipeline.catalog import registry as catalog
from pipeline.data._objective import objective
from pipeline.monitor.monitor import Monitor
from pipeline.probes._view import set_noise
from pipeline.spec.read import Cell
from pipeline.store.store import Store
from pipeline.training.batches import Batches
from pipeline.training.outcome import Outcome
from pipeline.trial.result import tables
from tests.helpers.stores import cells
from tests.helpers.training.fixtures import CHEAP

PROBES: dict[str, Any] = {n: {"at": [0, 3], **CHEAP.get(n, {})} for n in catalog.parts("probes")}


class Wrapped(nn.Module):
    """The same network as a user's module, which torch.fx has to cut."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.body = network

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def monitored(cell: Cell, storage: Path, *, wrap: bool, **options: Any) -> tuple[Monitor, str]:
    """The loop of the cell, written as a user writes it."""
    dataset, network = cells.parts_of(cell)
    training, train = cell.settings["training"], dataset.train
    batches = Batches(dataset, batch_size=training["batch_size"], augment=[], seed=0)
    root = Wrapped(network) if wrap else network
    monitor = Monitor(
        root,
        lambda outputs, targets: objective(dataset.task, outputs, targets),
        probes=PROBES,
        name="study",
        storage=str(storage),
        samples=(dataset.standardize(train.inputs), train.targets),
        labels={"normalizer": "batch"},
        **options,
    )
    optimizer = torch.optim.SGD(root.parameters(), lr=training["lr"])
    root.train()
    for step in range(training["steps"]):
        set_noise(network, 0, step)
        inputs, targets = batches.at(step)
        loss = objective(dataset.task, root(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        with monitor.step(inputs, targets, loss):
            optimizer.step()
    cell_id = monitor.finish()
    assert cell_id is not None
    return monitor, cell_id


def of_sweep(cell: Cell) -> dict[str, pa.Table]:
    outcome: Outcome = cells.run(cell)
    return tables(outcome)


def of_monitor(storage: Path, cell_id: str) -> dict[str, pa.Table]:
    store = Store(str(storage))
    result = store.result(cell_id)
    names = [name.removesuffix(".parquet") for name in result["records"]]
    return {name: table for name in names if (table := store.records(result, name)) is not None}


def without_names(table: pa.Table, drop: set[str]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in drop} for row in table.to_pylist()]


@pytest.mark.parametrize("parts", [cells.IMAGES, cells.NOISY], ids=["batch", "noisy"])
def test_a_monitor_gives_the_numbers_of_a_sweep(parts: dict[str, Any], tmp_path: Path) -> None:
    cell = cells.cell(parts, probes=PROBES)
    expected = of_sweep(cell)
    monitor, cell_id = monitored(cell, tmp_path, wrap=False)
    assert monitor._observer is not None
    assert monitor._observer.unmeasured == {}
    found = of_monitor(tmp_path, cell_id)
    assert found.keys() == expected.keys()
    for name in expected.keys() - {"training"}:
        assert found[name].to_pylist() == expected[name].to_pylist(), name
    for key in ("step", "lr", "train_loss"):
        assert found["training"].to_pydict()[key][:5] == expected["training"].to_pydict()[key][:5]


def test_a_network_cut_by_fx_gives_the_same_numbers(tmp_path: Path) -> None:
    cell = cells.cell(cells.IMAGES, probes=PROBES)
    expected = of_sweep(cell)
    monitor, cell_id = monitored(cell, tmp_path, wrap=True)
    assert monitor._network is not None
    assert len(monitor._network) > 5
    found = of_monitor(tmp_path, cell_id)
    for name in expected.keys() - {"training"}:
        rows = without_names(found[name], {"layer"})
        assert rows == without_names(expected[name], {"layer"}), name
