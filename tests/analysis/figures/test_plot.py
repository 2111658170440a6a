"""Figures in a notebook are those of the report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import normscope
from analysis.figures import build
from analysis.figures.style import RC
from analysis.study.study import Study
from analysis.tables import tables
from tests.helpers.stores.synthetic import write_store


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("store")
    write_store(folder, architectures=["vgg11"], steps=20, every=5)
    return normscope.load(str(folder), "synthetic")


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def pixels(drawing: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(drawing)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def test_a_drawing_is_the_reports(study: Study) -> None:
    basis = tables.TableInputs(study)
    own = {each.name: each for each in build(basis, tables.build_tables(basis))}
    assert normscope.plot.names(study) == list(own)
    settings: Any = {**RC, "figure.figsize": (5.5, 5.5)}
    with matplotlib.rc_context(settings):
        expected = pixels(own["activations_vgg_11"].draw())
        assert np.array_equal(pixels(normscope.plot.activation_fan(study)), expected)


@pytest.mark.slow
def test_another_study_or_seed_is_another_drawing(study: Study) -> None:
    fewer = replace(study, runs=study.runs[study.runs["normalizer"] != "layer"])
    legends = [
        {text.get_text() for text in normscope.plot.training_loss(each).legends[0].get_texts()}
        for each in (study, fewer, study)
    ]
    assert legends[0] == legends[2] == legends[1] | {"layer"}
    one, other = (pixels(normscope.plot.training_loss(study, seed=seed)) for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_which_and_width_choose(study: Study) -> None:
    drawing = normscope.plot.heatmap(study, "final_train_loss", width=3.25)
    assert drawing.get_figwidth() == 3.25
    with pytest.raises(ValueError, match=r"no figure 'heatmap_finl'; did you mean 'heatmap_final_"):
        normscope.plot.heatmap(study, "finl")
    with pytest.raises(ValueError, match=r"no figure 'zzz'; known: activations_vgg_11, "):
        normscope.plot.figure(study, "zzz")


def test_a_plot_that_does_not_exist_is_told_with_the_nearest() -> None:
    with pytest.raises(AttributeError) as told:
        normscope.plot.activation_fans  # noqa: B018
    assert "no figure 'activation_fans'; did you mean 'activation_fan'? known: " in str(told.value)
    listed = str(told.value).partition("known: ")[2].split(", ")
    assert listed == sorted(listed)
    assert {"activation_fan", "heatmap", "speed", "descent", "training_loss"} <= set(listed)
    assert all(callable(getattr(normscope.plot, name)) for name in listed)
    assert not hasattr(normscope.plot, "__wrapped__")


def test_every_plot_is_a_figure_of_the_report(study: Study) -> None:
    kinds = ["training_loss", "test_accuracy", "effective_beta", "ics_depth", "moment_speed"]
    kinds += ["activation_fan", "landscape", "heatmap", "lr_sensitivity", "profile", "forest"]
    for kind in [*kinds, "cost", "speed"]:
        assert getattr(normscope.plot, kind)(study).axes, kind


def test_load_takes_names_of_sweeps(tmp_path: Path) -> None:
    write_store(tmp_path, architectures=["vgg11"], seeds=(0,), lrs=(0.1,), steps=20, every=5)
    assert normscope.load(str(tmp_path), "synthetic").sweeps == ["synthetic"]
    with pytest.raises(ValueError, match="no"):
        normscope.load(str(tmp_path), "no")
