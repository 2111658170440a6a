"""The limits of a curve's y axis."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from analysis.figures.layout import fit


@pytest.mark.parametrize(
    ("values", "bounds", "log", "limits"),
    [
        ([0.2, 0.7], (-np.inf, np.inf), False, (0.1, 0.8)),
        ([-0.9, 0.9], (-1, 1), False, (-1.0756, 1.0756)),
        ([0.5, 1.0], (-1, 1), False, (0.4, 1.021)),
        ([1.0, 100.0], (-np.inf, np.inf), True, (10**-0.4, 10**2.4)),
    ],
)
def test_an_axis_ends_hardly_beyond_its_quantity(
    values: list[float], bounds: tuple[float, float], log: bool, limits: tuple[float, float]
) -> None:
    figure, panel = plt.subplots()
    if log:
        panel.set_yscale("log")
    fit(panel, pd.Series(values), log, bounds)
    assert panel.get_ylim() == pytest.approx(limits)
    plt.close(figure)
