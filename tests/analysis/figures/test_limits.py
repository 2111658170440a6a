"""The limits of a curve's y axis."""

import math

import numpy as np
import pandas as pd
import pytest

from analysis.figures.limits import FAR, limits

ANY = (-np.inf, np.inf)


@pytest.mark.parametrize(
    ("values", "bounds", "ends"),
    [
        ([0.2, 0.7], ANY, (0.1, 0.8)),
        ([-0.9, 0.9], (-1, 1), (-1.0756, 1.0756)),
        ([0.5, 1.0], (-1, 1), (0.4, 1.021)),
        ([99.0, 100.0, np.inf], (0, 100), (94.0, 100.33)),
    ],
)
def test_a_linear_axis_ends_hardly_beyond_what_its_quantity_can_be(
    values: list[float], bounds: tuple[float, float], ends: tuple[float, float]
) -> None:
    assert limits(pd.Series(values), False, bounds) == pytest.approx(ends)


@pytest.mark.parametrize(
    ("values", "decades"),
    [
        ([1.0, 100.0, np.nan, 0.0], (-0.4, 2.4)),
        ([1.0, 1.0, 10.0, 10.0, 10.0, 1e9], (-0.65, 1 + 0.75 * FAR + 0.65)),
        ([2.0] * 9 + [np.inf, 1e7], (math.log10(2) - 0.1, math.log10(2) + 0.4)),
        ([1e-9, 2.0, 2.0, 2.0, 2.0], (-9 - 0.2 * 9.30103, math.log10(2) + 0.2 * 9.30103)),
    ],
)
def test_a_log_axis_leaves_out_what_is_far_above(
    values: list[float], decades: tuple[float, float]
) -> None:
    found = limits(pd.Series(values), log=True)
    assert found is not None
    assert tuple(map(math.log10, found)) == pytest.approx(decades)


def test_nothing_finite_gives_no_limits() -> None:
    assert limits(pd.Series([np.nan, np.inf]), log=False) is None
    assert limits(pd.Series([0.0, -1.0]), log=True) is None
