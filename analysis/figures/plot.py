"""The report's figures in a notebook, one call each: ``normscope.plot.activation_fan(study)``.

A figure is what the report has under the same name, drawn by the same function. `names` lists those
that a study supports. The first plot of a study makes its tables, and later ones use them: change a
study by `dataclasses.replace`, not in place.
"""

from __future__ import annotations

from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, Protocol

from analysis.figures import Figure, build
from pipeline.cli import did_you_mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from analysis.study import Study

_DPI = 100


class Plot(Protocol):
    """Draws one figure of a study."""

    def __call__(
        self, study: Study, which: str = "", *, width: float = 5.5, seed: int = 0
    ) -> Drawing:
        """Draw it; ``which`` is the rest of its name, ``width`` is in inches."""
        ...


def names(study: Study, *, seed: int = 0) -> list[str]:
    """The names of the figures that the study supports, in the order of the report."""
    return list(_figures(study, seed))


def figure(study: Study, name: str, *, width: float = 5.5, seed: int = 0) -> Drawing:
    """Draw the figure of that name.

    Args:
        study: what `load` returns.
        name: one of `names`, or how it begins: the first one counts.
        width: of the drawing in inches; 5.5 and 3.25 are those of the report.
        seed: of the bands' bootstrap, as ``--seed`` of the report.

    Raises:
        ValueError: if the study does not support it.
    """
    import matplotlib

    from analysis.figures.style import RC

    known = _figures(study, seed)
    found = [known[name]] if name in known else [f for k, f in known.items() if k.startswith(name)]
    if not found:
        right = did_you_mean(name, known, "normscope.plot.names(study)")
        raise ValueError(f"the study has no figure {name!r}; {right}")
    settings: Any = {**RC, "figure.figsize": (width, width)}
    with matplotlib.rc_context(settings):
        drawing: Any = found[0].draw()
    drawing._repr_png_ = partial(_png, drawing)  # a notebook shows it, with or without pyplot
    return drawing


def _png(drawing: Drawing) -> bytes:
    """The drawing as a notebook shows it."""
    import matplotlib

    from analysis.figures.style import RC

    settings: Any = RC
    image = BytesIO()
    with matplotlib.rc_context(settings):
        drawing.savefig(image, format="png", dpi=_DPI)
    return image.getvalue()


_latest: list[tuple[Study, int, dict[str, Figure]]] = []
"""The study that was plotted last, the seed, and its figures: their tables take seconds."""


def _figures(study: Study, seed: int) -> dict[str, Figure]:
    from analysis.tables import TableInputs, build_tables

    for known, its_seed, found in _latest:
        if known is study and its_seed == seed:
            return found
    basis = TableInputs(study, seed)
    found = {each.name: each for each in build(basis, build_tables(basis))}
    _latest[:] = [(study, seed, found)]
    return found


_made: list[Plot] = []
"""All plots of this module."""


def _plot(start: str) -> Plot:
    def draw(study: Study, which: str = "", *, width: float = 5.5, seed: int = 0) -> Drawing:
        return figure(study, f"{start}{which}", width=width, seed=seed)

    draw.__doc__ = f"Draw the figure {start}…; ``which`` is the rest of its name, else the first."
    _made.append(draw)
    return draw


training_loss = _plot("training_loss")
test_accuracy = _plot("test_accuracy")
effective_beta = _plot("effective_beta")
ics_depth = _plot("ics_depth_")
moment_speed = _plot("moment_speed_")
activation_fan = _plot("activations_")
landscape = _plot("landscape_")
heatmap = _plot("heatmap_")
lr_sensitivity = _plot("lr_sensitivity")
profile = _plot("profile")
forest = _plot("forest_")
cost = _plot("cost")
speed = _plot("speed_")
descent = _plot("descent")


_PLOTS = sorted(name for name, value in globals().items() if value in _made)


def __getattr__(name: str) -> Any:
    text = f"module 'normscope.plot' has no figure {name!r}; {did_you_mean(name, _PLOTS)}"
    raise AttributeError(text)
