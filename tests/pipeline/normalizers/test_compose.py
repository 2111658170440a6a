from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from pipeline.normalizers import Normalizer, Traits, compose
from pipeline.normalizers.noisy import Noise
from tests.helpers.parts.normalizer_blocks import inputs, make


def test_weight_standardization_with_group() -> None:
    norm = compose([make("weight_standardization"), make("group", groups=2)])
    torch.manual_seed(0)
    layer, features = norm.weight(nn.Conv2d(3, 8, 3)), norm.features(8)
    assert parametrize.is_parametrized(layer, "weight")
    assert isinstance(features, nn.GroupNorm)
    assert norm.traits == Traits(scale_invariant_weights=True, bias_free=True)


def test_features_apply_in_the_listed_order() -> None:
    first, second = make("batch"), make("noise")
    assert isinstance(compose([first, second]).features(3).get_submodule("1"), Noise)
    assert isinstance(compose([second, first]).features(3).get_submodule("0"), Noise)


def test_nothing_adds_nothing() -> None:
    norm = compose([make("none"), make("none")])
    assert isinstance(norm.features(4), nn.Identity)
    assert isinstance(norm.residual(), nn.Identity)
    assert isinstance(norm.activation(4), nn.ReLU)
    assert norm.traits == Traits()


def test_one_replaced_activation_is_kept_and_two_are_refused() -> None:
    tanh = Normalizer(activation=lambda channels: nn.Tanh())
    assert isinstance(compose([make("batch"), tanh]).activation(4), nn.Tanh)
    with pytest.raises(ValueError, match="at most one"):
        compose([tanh, tanh])


@pytest.mark.parametrize(
    "names", [("weight_norm", "weight_standardization"), ("weight_norm", "weight_norm")]
)
def test_two_weight_normalizers_are_refused(names: tuple[str, str]) -> None:
    norm = compose([make(name) for name in names])
    with pytest.raises(ValueError, match="at most one normalizer"):
        norm.weight(nn.Linear(3, 3))


def test_empty_composition_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        compose([])


def test_initializations_run_in_the_listed_order() -> None:
    seen: list[int] = []
    members = [Normalizer(initialize=lambda _, index=index: seen.append(index)) for index in (1, 2)]
    compose(members).initialize(nn.Identity())
    assert seen == [1, 2]


def test_traits_join() -> None:
    norm = compose([make("instance"), replace(make("noise"), traits=Traits(true_gradient=False))])
    assert norm.traits == Traits(
        scale_invariant_weights=True, true_gradient=False, bias_free=True, minimum_spatial_size=2
    )


def test_assigning_the_weight_sets_what_the_right_inverse_can() -> None:
    wanted = inputs()[0, :, :, 0].float()
    normalized = make("weight_norm").weight(nn.Linear(3, 3))
    standardized = make("weight_standardization").weight(nn.Linear(3, 3))
    for layer in (normalized, standardized):
        setattr(layer, "weight", wanted)  # noqa: B010  (a parametrized attribute)
    torch.testing.assert_close(normalized.weight, wanted)
    raw = standardized.get_parameter("parametrizations.weight.original")
    torch.testing.assert_close(raw.detach(), wanted)
