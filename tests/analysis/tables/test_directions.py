"""The landscape's directions: each has columns and a figure of its own, and no number joins two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.figures import build
from analysis.load.sources import load
from analysis.tables.tables import TableInputs, build_tables
from tests.helpers.stores import synthetic as synthetic_store
from tests.helpers.stores.synthetic import write_store

ONE: dict[str, Any] = {
    "architectures": ["vgg11"],
    "lrs": [0.1],
    "steps": 20,
    "every": 5,
    "tables": ["training", "landscape"],
}
TIMES = {"lr": 3.0, "common": 1000.0}
"""How much more than along the gradient varies along the update, by range."""
QUANTITIES = ("loss_range_relative", "gradient_difference_relative", "effective_beta")


def with_update(rows: dict[str, Any]) -> dict[str, Any]:
    """The landscape's rows with as many along the update, which vary by `TIMES`."""
    frame = pd.DataFrame(rows)
    own = frame[frame["direction"] == "gradient"].assign(direction="update")
    own[[*QUANTITIES]] = own[[*QUANTITIES]].mul(own["range"].map(TIMES), axis=0)
    both = pd.concat([frame, own], ignore_index=True)
    return {str(name): both[name].to_numpy() for name in both}


def inputs(folder: Path) -> TableInputs:
    write_store(folder, **ONE)
    return TableInputs(load(str(folder)))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> TableInputs:
    return inputs(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory, plain: TableInputs) -> TableInputs:
    own = synthetic_store.RECORDS["landscape"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(synthetic_store.RECORDS, "landscape", lambda run: with_update(own(run)))
        return inputs(tmp_path_factory.mktemp("updated"))


def smoothness(basis: TableInputs) -> pd.Series:
    table = next(table for table in build_tables(basis) if table.name == "table2_smoothness")
    assert "(no run recorded landscape along the update)" not in table.caption
    return table.cells.set_index(["measure", "normalizer"])["estimate"]


def test_along_the_update_are_columns_of_their_own(
    studied: TableInputs, plain: TableInputs
) -> None:
    found, without = smoothness(studied), smoothness(plain)
    added = [key for key in found.index if key[0].startswith("landscape_update")]
    assert {key for key in found.index if key not in added} == set(without.index)
    np.testing.assert_array_equal(found[without.index], without)
    for measure, name in added:
        along = found[measure.replace("landscape_update", "landscape"), name]
        np.testing.assert_allclose(found[measure, name], 3 * along, rtol=1e-12)
    assert len({measure for measure, _ in added}) == 9
    assert found.loc[("landscape_update_effective_beta_early", "batch")] > 0


def test_the_update_foretells_nothing_twice(studied: TableInputs) -> None:
    records = {relation.item.record for relation in studied.relations}
    assert "landscape" in records
    assert "landscape_update" not in records


def test_each_direction_has_a_figure(studied: TableInputs) -> None:
    figures = {each.name: each for each in build(studied, build_tables(studied))}
    along = figures["landscape_vgg_11"]
    update = figures["landscape_update_vgg_11"]
    assert along.title == "Loss landscape along the gradient: VGG-11"
    assert update.title == "Loss landscape along the optimizer's step: VGG-11"
    assert update.caption.startswith("Moving from θ along the step −Δθ/η as the optimizer made it")
    highest = [max(_beta(each.draw())) for each in (along, update)]
    np.testing.assert_allclose(highest[1], 3 * highest[0], rtol=1e-12)


def _beta(drawing: Any) -> list[float]:
    """The values of the last column of panels, effective β."""
    panels = drawing.axes[2::3]
    return [float(y) for panel in panels for line in panel.lines for y in line.get_ydata()]
