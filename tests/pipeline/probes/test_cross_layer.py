"""The cross-layer share: the limit of gradient ICS for small steps."""

from __future__ import annotations

import pytest

from pipeline.probes.cross_layer import cross_layer
from pipeline.probes.gradient_ics import gradient_ics
from tests.helpers.reference.known_hessian import observed
from tests.helpers.training.views import view_of


@pytest.mark.parametrize("norm", ["none", "batch", "weight"])
def test_gradient_ics_per_step_length_becomes_the_cross_layer_part(norm: str):
    """As η → 0; the error is of the order of η, and of rounding over η."""
    gaps = []
    for lr in (1e-5, 1e-6):
        view = view_of("resnet", norm, lr=lr)
        shift = observed(gradient_ics, view)["l2"] / lr
        lower = observed(cross_layer, view)["lower"]
        gaps.append(((shift - lower).norm() / lower.norm()).item())
    assert gaps[1] < 1e-4
    assert gaps[1] < 0.2 * gaps[0]


def test_cross_layer_of_chosen_layers():
    view = view_of("resnet", "batch")
    every, some = observed(cross_layer, view), observed(cross_layer, view, layers=[1, 4])
    assert every["lower"][0] == 0
    assert some["index"] == [1, 4]
    assert some["layer"] == [every["layer"][0], every["layer"][3]]
    assert some["share"].tolist() == every["share"][[0, 3]].tolist()
    with pytest.raises(ValueError, match=r"cross_layer\.layers: there is no layer 99"):
        observed(cross_layer, view, layers=[99])
