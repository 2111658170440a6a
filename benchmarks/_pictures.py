"""What each probe's picture in docs/probes.md shows: two panels, a line a normalizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from analysis.figures.style import Look

Frames = Mapping[str, pd.DataFrame]
"""By probe: its records, with a column ``normalizer``."""
Looks = Mapping[str, Look]


@dataclass(frozen=True)
class Line:
    """A panel of one quantity against another, averaged over all else."""

    x: str
    y: str
    labels: tuple[str, str]
    where: str = ""
    """Which rows, as a query."""
    logs: str = ""
    """Which axes are logarithmic: any of ``x`` and ``y``."""
    level: float | None = None
    """A horizontal line to compare with."""
    error: str | None = None
    """The column of error bars."""

    def draw(self, panel: Axes, frame: pd.DataFrame, looks: Looks) -> None:
        """Draw the mean over layers, or over steps, of every normalizer's run."""
        rows = frame.query(self.where) if self.where else frame
        for label, look in looks.items():
            own = rows[rows["normalizer"] == label].groupby(self.x).mean(numeric_only=True)
            line = {**look.line, "label": label}
            if self.error:
                panel.errorbar(own.index, own[self.y], own[self.error], capsize=2, **line)
            elif own[self.y].notna().any():
                panel.plot(own.index, own[self.y], **line)
        if self.level is not None:
            panel.axhline(self.level, color="#555555", lw=0.8, ls=":")
        _axes(panel, self.labels, self.logs)


@dataclass(frozen=True)
class Points:
    """A panel of two quantities of the same rows, beside the diagonal."""

    x: str
    y: str
    labels: tuple[str, str]

    def draw(self, panel: Axes, frame: pd.DataFrame, looks: Looks) -> None:
        """Draw a point a row."""
        for label, look in looks.items():
            own = frame[frame["normalizer"] == label]
            panel.plot(own[self.x], own[self.y], look.marker, color=look.color, label=label, ms=3)
        panel.axline((0, 0), (1, 1), color="#555555", lw=0.8, ls=":")
        for along in (panel.axhline, panel.axvline):
            along(0, color="#aaaaaa", lw=0.6)
        _axes(panel, self.labels, "xy", "symlog")


@dataclass(frozen=True)
class Terms:
    """A panel of several quantities of one normalizer, over a common one, by layer."""

    of: str
    over: str | None
    columns: Mapping[str, str]
    labels: tuple[str, str]
    logs: str = ""

    def draw(self, panel: Axes, frame: pd.DataFrame, looks: Looks) -> None:
        """Draw a line a quantity, the mean over steps."""
        own = frame[frame["normalizer"] == self.of].groupby("index").mean(numeric_only=True)
        unit = own[self.over] if self.over else 1.0
        for (column, label), look in zip(self.columns.items(), looks.values(), strict=False):
            panel.plot(own.index, own[column] / unit, **look.line, label=label)
        panel.legend(fontsize=7)
        _axes(panel, self.labels, self.logs)


def _axes(panel: Axes, labels: tuple[str, str], logs: str, scale: str = "log") -> None:
    panel.set_xlabel(labels[0])
    panel.set_ylabel(labels[1])
    panel.xaxis.set_major_locator(MaxNLocator(6, integer=labels[0] in (STEP, *LAYERS)))
    for name, axis in (("x", panel.xaxis), ("y", panel.yaxis)):
        if name not in logs:
            continue
        options = {"linthresh": 0.1} if scale == "symlog" else {}
        (panel.set_xscale if name == "x" else panel.set_yscale)(scale, **options)
        if scale == "log":
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=7))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


STEP, LAYER, UNIT = "training (steps)", "weight layer", "activation layer"
BATCH_LAYER = "batch normalization layer"
LAYERS = (LAYER, UNIT, BATCH_LAYER)
Panel = Line | Points | Terms
ALONG = "range == 'lr' and direction == 'gradient'"
PICTURES: dict[str, tuple[Panel, Panel]] = {
    "gradient_ics": (
        Line("index", "relative", (LAYER, "‖G − G′‖ / ‖G‖"), "index > 1", "y"),
        Line("index", "cosine", (LAYER, "cosine of G and G′"), "index > 1"),
    ),
    "moment_ics": (
        Line(
            "step",
            "mean_shift",
            (STEP, "|Δμ| / σ a step\nbefore the nonlinearity"),
            "place == 'activation'",
            "y",
        ),
        Line(
            "step",
            "mean_shift",
            (STEP, "|Δμ| / σ a step\nbefore the normalizer"),
            "place == 'output'",
            "y",
        ),
    ),
    "distribution_ics": (
        Line("index", "w1", (UNIT, "W₁ / σ of one update"), logs="y"),
        Line("index", "w1_floor", (UNIT, "W₁ / σ of another batch"), logs="y"),
    ),
    "gradient_noise": (
        Line("step", "relative", (STEP, "‖g − g′‖ / ‖g‖"), "index == 0", level=1.0),
        Line("index", "cosine", (LAYER, "cosine of g and g′"), "index > 0"),
    ),
    "landscape": (
        Line("step", "loss_range_relative", (STEP, "range of the loss / loss"), ALONG, "y"),
        Line("step", "effective_beta", (STEP, "effective β\n(nats / distance²)"), ALONG, "y"),
    ),
    "curvature": (
        Line("step", "lambda_max", (STEP, "λ_max\n(nats / distance²)"), logs="y"),
        Line("step", "trace", (STEP, "trace of H\n(nats / distance²)"), error="trace_error"),
    ),
    "scale_invariant": (
        Line("step", "angular_update", (STEP, "angle of a step (rad)\nmean over layers"), logs="y"),
        Line(
            "index",
            "weight_squared_times_lambda",
            (LAYER, "‖w‖²·λ of the block\n(nats)"),
            "block_lambda == block_lambda",
            "y",
        ),
    ),
    "descent_lemma": (
        Points("predicted", "realised", ("predicted change of the loss (nats)", "realised (nats)")),
        Line("step", "eta_gradient_curvature", (STEP, "η·ĝᵀHĝ"), level=2.0),
    ),
    "cross_layer": (
        Line("index", "share", (LAYER, "‖H_{i,<i} g_{<i}‖ / ‖(Hg)_i‖"), "index > 1", level=1.0),
        Line("step", "share", (STEP, "the same\nmean over layers"), "index > 1", level=1.0),
    ),
    "signal_propagation": (
        Line("index", "stable_rank", (UNIT, "stable rank\nof 64 samples, step 0"), "step == 0"),
        Line("index", "sample_cosine", (UNIT, "cosine of samples\nstep 0"), "step == 0"),
    ),
    "batchnorm_theorems": (
        Terms(
            "batch",
            "scaled_squared",
            {
                "gradient_squared": "left side, ‖∂L/∂y‖²",
                "mean_term": "mean's term",
                "projection_term": "ŷ's term",
            },
            (BATCH_LAYER, "share of γ²/σ²·‖∂L/∂z‖²"),
        ),
        Terms(
            "batch",
            None,
            {"gap_41": "theorem 4.1", "gap_42": "theorem 4.2"},
            (BATCH_LAYER, "relative gap\n(ε = 10⁻⁵, float32)"),
            "y",
        ),
    ),
    "sharpness": (
        Line(
            "rho", "sharpness", ("ρ", "rise of the loss in ‖Δθ‖ ≤ ρ\n(nats)"), "kind == 'sam'", "xy"
        ),
        Line("rho", "sharpness", ("ρ", "in ‖Δθ/θ‖ ≤ ρ (nats)"), "kind == 'adaptive'", "xy"),
    ),
}
