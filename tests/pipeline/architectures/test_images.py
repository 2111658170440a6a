from __future__ import annotations

import pytest

from pipeline.architectures._images import resolutions, scaled


@pytest.mark.parametrize(
    ("channels", "width", "expected"),
    [(12, 1.0, 12), (6, 1.0, 6), (64, 0.25, 16), (12, 0.25, 4), (16, 0.01, 4), (10, 1.4, 16)],
)
def test_scaled(channels: int, width: float, expected: int):
    assert scaled(channels, width) == expected


@pytest.mark.parametrize("width", [0.0, -1.0, float("nan"), float("inf")])
def test_scaled_refuses(width: float):
    with pytest.raises(ValueError, match="width must be a positive number"):
        scaled(64, width)


@pytest.mark.parametrize(
    ("size", "padded", "strides", "last"),
    [
        ((32, 32), False, [1, 2, 2, 2, 2], (2, 2)),
        ((8, 8), False, [1, 2, 2, 1, 1], (2, 2)),
        ((28, 28), False, [1, 2, 2, 2, 1], (3, 3)),
        ((28, 28), True, [1, 2, 2, 2, 2], (2, 2)),
        ((16, 4), False, [1, 2, 1, 1, 1], (8, 2)),
        ((1, 1), True, [1, 1, 1, 1, 1], (1, 1)),
    ],
)
def test_resolutions(
    size: tuple[int, int], padded: bool, strides: list[int], last: tuple[int, int]
):
    found = resolutions(size, 5, padded=padded)
    assert [part.stride for part in found] == strides
    assert found[-1].size == last
