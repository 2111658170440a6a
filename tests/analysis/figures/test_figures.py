from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Rectangle

from analysis.figures import Figure, build
from analysis.figures.context import Scene, chosen_lr, settings
from analysis.figures.marks import annotated
from analysis.figures.single_lr import slices
from analysis.figures.style import RC, looks
from analysis.load.sources import Study, load
from analysis.reductions import summaries
from analysis.tables import tables
from tests.helpers.stores.synthetic import write_store

SMALL: dict[str, Any] = {"architectures": ["vgg11"], "steps": 20, "every": 5}
EVERY = [
    "training_loss",
    "test_accuracy",
    "ics_depth_relative",
    "ics_depth_cosine",
    "moment_speed_mean",
    "moment_speed_std",
    "effective_beta",
    "activations_vgg_11",
    "landscape_vgg_11",
    "heatmap_gradient_ics_relative_early",
    "heatmap_landscape_loss_range_late",
    "heatmap_steps_to_target",
    "heatmap_final_train_loss",
    "lr_sensitivity",
    "profile",
    "forest_landscape_gradient_difference_relative_late",
    "forest_steps_to_target",
    "cost",
    "speed_landscape_gradient_difference_relative",
    "speed_landscape_scaled_beta",
]


def made(study: Study) -> tuple[tables.TableInputs, list[tables.Table]]:
    basis = tables.TableInputs(study)
    return basis, tables.build_tables(basis)


def study_of(folder: Path, **options: Any) -> Study:
    write_store(folder, **{**SMALL, **options})
    return load(str(folder))


def figures_of(study: Study) -> dict[str, Figure]:
    return {figure.name: figure for figure in build(*made(study))}


def draw(figure: Figure) -> Drawing:
    """Draw as the report does, and lay out, for there matplotlib finds what it cannot draw."""
    rc: Any = RC
    with matplotlib.rc_context(rc):
        drawing = figure.draw()
        drawing.draw_without_rendering()
    return drawing


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return study_of(tmp_path_factory.mktemp("figures"))


@pytest.fixture(scope="module")
def drawn(study: Study) -> dict[str, Drawing]:
    return {name: draw(figure) for name, figure in figures_of(study).items()}


def test_every_figure_is_there(drawn: dict[str, Drawing]) -> None:
    assert list(drawn) == EVERY


def test_axes_have_names_and_units(drawn: dict[str, Drawing]) -> None:
    for name, drawing in drawn.items():
        for panel in drawing.axes:
            grid = panel.get_xlabel() in ("architecture", "") and name.startswith("heatmap")
            first_column = panel.get_position().x0 == min(a.get_position().x0 for a in drawing.axes)
            last_row = panel.get_position().y0 == min(a.get_position().y0 for a in drawing.axes)
            if not grid and first_column and not name.startswith("forest"):
                assert panel.get_ylabel().endswith(")"), name
            if not grid and last_row:
                assert panel.get_xlabel().endswith(")"), name


def test_a_normalizer_keeps_its_colour_and_dashes(drawn: dict[str, Drawing], study: Study) -> None:
    expected = {look.color.lower() for look in looks(study.runs["normalizer"]).values()}
    for name in ("training_loss", "moment_speed_mean", "activations_vgg_11", "landscape_vgg_11"):
        lines = [line for panel in drawn[name].axes for line in panel.lines]
        assert {to_hex(str(line.get_color())) for line in lines} == expected


def test_looks_differ_in_greyscale() -> None:
    found = looks([f"n{i:02}" for i in range(34)])
    assert len({(look.dashes, look.marker) for look in found.values()}) == len(found) == 35


def test_diverged_runs_end_with_a_cross(drawn: dict[str, Drawing], study: Study) -> None:
    crosses = [
        offset
        for panel in drawn["training_loss"].axes
        for points in panel.collections
        if isinstance(points, PathCollection)
        for offset in np.asarray(points.get_offsets())
    ]
    lost = study.runs[study.runs["status"] == "diverged"]
    assert len(crosses) == len(lost) > 0
    assert {x for x, _ in crosses} == set(lost["diverged_step"] - 1)


def test_hatched_and_grey_cells(tmp_path: Path) -> None:
    none = [("none", lr, seed) for lr in (0.01, 0.1) for seed in (0, 1)]
    layer = [("layer", lr, seed) for lr in (0.01, 0.1) for seed in (0, 1)]
    study = study_of(tmp_path, seeds=(0, 1), diverge=none, missing=layer)
    panel = draw(figures_of(study)["heatmap_steps_to_target"]).axes[0]
    hatched = [p for p in panel.patches if isinstance(p, Rectangle) and p.get_hatch()]
    assert [p.get_xy() for p in hatched] == [(0, 0)]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["none", "batch", "layer"]
    assert len(panel.texts) == 2


def test_the_page_reads_every_cell_of_a_heatmap(tmp_path: Path) -> None:
    none = [("none", lr, seed) for lr in (0.01, 0.1) for seed in (0, 1)]
    layer = [("layer", lr, seed) for lr in (0.01, 0.1) for seed in (0, 1)]
    study = study_of(tmp_path, seeds=(0, 1), diverge=none, missing=layer)
    drawing, file = draw(figures_of(study)["heatmap_final_train_loss"]), io.StringIO()
    drawing.savefig(file, format="svg")
    svg = annotated(file.getvalue(), drawing)
    assert """data-y="final training loss (nats)" data-names='["VGG-11"]'""" in svg
    read = dict(re.findall(r'data-normalizer="(\w+)" data-points="([^"]*)" data-reads="cell"', svg))
    values = {name: points.split(",")[4:] for name, points in read.items()}
    assert values["none"] == ["Infinity"]
    assert values["layer"] == ["nan"]
    estimate, low, high = map(float, values["batch"])
    assert low <= estimate <= high
    shown = drawing.axes[0].texts[0].get_text()
    assert float(shown) == pytest.approx(estimate, rel=0.01)


def test_captions_state_their_numbers(study: Study) -> None:
    for figure in figures_of(study).values():
        assert "{" not in figure.legend
        assert all(str(number) in figure.legend for number in figure.numbers.values())
        if "fewest" in figure.numbers:
            assert figure.numbers["fewest"] <= figure.numbers["most"] <= figure.numbers["runs"]
    assert figures_of(study)["training_loss"].numbers == {"runs": 18, "fewest": 3, "most": 3}


HOSTILE: dict[str, dict[str, Any]] = {
    "one seed": {"seeds": [0]},
    "one normalizer, one rate": {"normalizers": ["rms"], "lrs": [0.1], "seeds": [0, 1]},
    "one run": {"normalizers": ["none"], "lrs": [0.1], "seeds": [0]},
    "all diverged": {
        "normalizers": ["none"],
        "lrs": [0.1],
        "seeds": [0],
        "diverge": [("none", 0.1, 0)],
    },
    "half-finished": {
        "seeds": [0, 1],
        "missing": [("none", 0.1, s) for s in (0, 1)],
        "failed": [("batch", 0.01, 0)],
    },
    "regression": {"regression": True, "seeds": [0, 1]},
    "no probes": {"tables": ["training"], "seeds": [0, 1]},
    "no training": {"tables": ["landscape"], "seeds": [0, 1]},
    "one probe": {"every": 100, "seeds": [0, 1]},
    "markup": {"normalizers": ["none", "$\\frac$ <b> & x_{1}"], "seeds": [0], "lrs": [0.1]},
}


@pytest.mark.slow
@pytest.mark.parametrize("options", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_studies_draw_without_a_warning(tmp_path: Path, options: dict[str, Any]) -> None:
    found = figures_of(study_of(tmp_path, **{"normalizers": ["none", "batch"], **options}))
    assert found
    for figure in found.values():
        assert draw(figure).axes


@pytest.mark.slow
@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_records_of_one_worthless_value_draw(tmp_path: Path, value: float) -> None:
    study = study_of(tmp_path, normalizers=["none"], seeds=[0, 1])
    records = {
        name: frame.assign(**{str(c): value for c in frame.select_dtypes("float").columns})
        for name, frame in study.records.items()
    }
    reduced = summaries.labelled(summaries.reduce_records(records, study.runs).items(), study.runs)
    for figure in build(*made(replace(study, reduced=reduced))):
        assert draw(figure).axes


def test_regression_has_a_test_loss_instead(tmp_path: Path) -> None:
    found = figures_of(study_of(tmp_path, regression=True, seeds=[0]))
    assert "test_loss" in found
    assert "test_accuracy" not in found


def test_nothing_finished_is_no_figure(tmp_path: Path) -> None:
    cells = [("none", 0.1, 0)]
    study = study_of(tmp_path, normalizers=["none"], lrs=[0.1], seeds=[0], missing=cells)
    assert build(tables.TableInputs(study), []) == []


def test_twenty_normalizers_fit_their_sheet(tmp_path: Path) -> None:
    names = ["none", *(f"normalizer_{i}(groups=8)" for i in range(19))]
    study = study_of(tmp_path, normalizers=names, seeds=[0], tables=["training"])
    drawing = draw(figures_of(study)["training_loss"])
    legend = drawing.legends[0].get_window_extent()
    titles = [panel.title.get_window_extent() for panel in drawing.axes]
    assert legend.x1 <= drawing.bbox.x1
    assert not any(legend.overlaps(panel.get_window_extent()) for panel in drawing.axes)
    assert legend.y0 >= max(title.y1 for title in titles) - 20


def test_settings_name_what_varies(study: Study) -> None:
    planned = study.planned.assign(training=["", "adam"] * (len(study.planned) // 2))
    assert set(settings(planned, planned)) == {"VGG-11", "VGG-11 · adam"}
    assert set(settings(study.runs, study.planned)) == {"VGG-11"}


def test_chosen_rate_has_fewest_lost_runs(study: Study) -> None:
    runs = study.runs[study.runs["normalizer"] != "none"]
    assert chosen_lr(runs) == 0.1
    assert chosen_lr(study.runs) == 0.01  # none diverges at 0.1


def test_file_names_are_plain_and_unique(study: Study) -> None:
    runs = study.runs.assign(setting=["a/b(x=1)", "a b x 1"] * (len(study.runs) // 2))
    scene = Scene(study=study, runs=runs, looks={}, seed=0)
    frame = scene.rows("records/landscape")
    assert frame is not None
    assert sorted(part.slug for part in slices(scene, frame)) == ["a_b_x_1", "a_b_x_1_2"]


def test_bins_average_within_a_run(study: Study) -> None:
    records = {"training": study.records["training"]}
    short = summaries.reduce_records(records, study.runs)["curves/training_loss"]
    longer = study.runs.assign(steps=50 * study.runs["steps"])  # 1,000 steps: bins of 10
    every = {"training": records["training"].assign(step=lambda rows: rows["step"] * 50)}
    wide = summaries.reduce_records(every, longer)["curves/training_loss"]
    assert sorted(set(short["x"])) == list(range(20))
    assert set(wide["x"] % 10) == {4.5}
