"""Bad options and inputs are refused in one plain line."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tests.helpers.parts.normalizer_blocks import make


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("batch", {"eps": 0.0}, "eps must be above 0, not 0"),
        ("batch", {"momentum": 1.5}, "momentum must be between 0 and 1, not 1.5"),
        ("mean_only", {"momentum": 1.5}, "momentum must be between 0 and 1, not 1.5"),
        ("variance_only", {"eps": -1.0}, "eps must be at least 0, not -1"),
        ("ghost_batch", {"ghost": 1}, "ghost must be at least 2, not 1"),
        ("batch_renorm", {"r_max": 0.5}, "r_max must be at least 1, not 0.5"),
        ("batch_renorm", {"d_max": -1.0}, "d_max must be at least 0, not -1"),
        ("batch_renorm", {"r_max_at": 10}, "r_max_at must be at least 5000, not 10"),
        ("moving_average_batch", {"window": 0}, "window must be at least 1, not 0"),
        ("moving_average_batch", {"eps": 0.0}, "eps must be above 0, not 0"),
        ("power_norm", {"warmup": -1}, "warmup must be at least 0, not -1"),
        (
            "power_norm",
            {"backward_momentum": 2.0},
            "backward_momentum must be between 0 and 1, not 2",
        ),
        ("evonorm_b0", {"eps": 0.0}, "eps must be above 0, not 0"),
        ("switchable", {"eps": 0.0}, "eps must be above 0, not 0"),
        ("batch_instance", {"momentum": -0.5}, "momentum must be between 0 and 1, not -0.5"),
        ("iterative_whitening", {"iterations": 0}, "iterations must be at least 1, not 0"),
        ("decorrelated_batch", {"eps": 0.0}, "eps must be above 0, not 0"),
        (
            "decorrelated_batch",
            {"channels_per_group": 0},
            "channels_per_group must be at least 1, not 0",
        ),
        ("noisy_batch", {"eps": -1.0}, "eps must be above 0, not -1"),
        ("noise", {"scale_jitter": -0.1}, "scale_jitter must be at least 0, not -0.1"),
        ("l1", {"eps": float("nan")}, "eps must be at least 0, not nan"),
        ("l2", {"momentum": -0.5}, "momentum must be between 0 and 1, not -0.5"),
        ("linf", {"eps": -1.0}, "eps must be at least 0, not -1"),
        ("layer", {"eps": -1.0}, "eps must be at least 0, not -1"),
        ("instance", {"eps": -1.0}, "eps must be at least 0, not -1"),
        ("rms", {"eps": -1.0}, "eps must be at least 0, not -1"),
        ("group", {"eps": -1.0}, "eps must be at least 0, not -1"),
        ("group", {"groups": 0}, "groups must be at least 1, not 0"),
        ("group", {"channels_per_group": 0}, "channels_per_group must be at least 1, not 0"),
        ("weight_standardization", {"eps": -1.0}, "eps must be at least 0, not -1"),
        ("scaled_weight_standardization", {"eps": -1.0}, "eps must be at least 0, not -1"),
        ("scaled_weight_standardization", {"gamma": 0.0}, "gamma must be above 0, not 0"),
        ("spectral_norm", {"iterations": 0}, "iterations must be at least 1, not 0"),
        ("layer_per_pixel", {"eps": -1.0}, "eps must be at least 0, not -1"),
        ("position", {"eps": -1.0}, "eps must be at least 0, not -1"),
        ("local_response", {"size": 4}, "size must be an odd number, at least 1, not 4"),
        ("local_response", {"alpha": -1.0}, "alpha must be at least 0, not -1"),
        ("local_response", {"k": 0.0}, "k must be above 0, not 0"),
        ("divisive", {"window": 0}, "window must be an odd number, at least 1, not 0"),
        ("divisive", {"sigma": 0.0}, "sigma must be above 0, not 0"),
        ("global_response", {"eps": -1.0}, "eps must be at least 0, not -1"),
        ("filter_response", {"eps": -1.0}, "eps must be at least 0, not -1"),
        ("evonorm_s0", {"eps": -1.0}, "eps must be at least 0, not -1"),
        ("evonorm_s0", {"groups": 0}, "groups must be at least 1, not 0"),
        ("evonorm_s0", {"channels_per_group": 0}, "channels_per_group must be at least 1, not 0"),
        ("dynamic_tanh", {"alpha": 0.0}, "alpha must be above 0, not 0"),
        ("derf", {"alpha": -1.0}, "alpha must be above 0, not -1"),
        ("dyisru", {"beta": 0.0}, "beta must be above 0, not 0"),
    ],
)
def test_option(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        make(name, **options)


@pytest.mark.parametrize(
    ("options", "channels", "message"),
    [
        ({}, 48, "48 channels do not divide into 32 groups; the nearest that fits is 24 or 48"),
        ({}, 12, "12 channels do not divide into 32 groups; the nearest that fits is 12"),
        (
            {"channels_per_group": 16},
            36,
            "36 channels do not divide into groups of 16; the nearest that fits is 12 or 18",
        ),
    ],
)
def test_groups_that_do_not_divide(options: dict[str, Any], channels: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"^group: {message}$"):
        make("group", **options).features(channels)


def test_groups_of_evonorm_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match=r"^evonorm_s0: 12 channels do not divide into 32 groups"):
        make("evonorm_s0").features(12)


@pytest.mark.parametrize("name", ["layer_per_pixel", "position"])
def test_a_single_channel_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="needs at least 2 channels, not 1"):
        make(name).features(1)


def test_channels_per_group_overrules_groups() -> None:
    made = make("group", groups=7, channels_per_group=3).features(12)
    assert isinstance(made, nn.GroupNorm)
    assert made.num_groups == 4


RANKED = ("batch", "noise", "l1", "layer", "instance", "rms", "layer_per_pixel", "local_response")
RANKED += ("mean_only", "variance_only", "ghost_batch", "batch_renorm", "moving_average_batch")
RANKED += ("power_norm", "evonorm_b0", "switchable", "batch_instance", "iterative_whitening")
RANKED += ("divisive", "global_response", "filter_response", "dynamic_tanh", "derf", "dyisru")


@pytest.mark.parametrize("name", RANKED)
def test_inputs_of_another_rank(name: str) -> None:
    with pytest.raises(ValueError, match=r"inputs \(N, C\) or \(N, C, H, W\), not \(2, 4, 5\)"):
        make(name).features(4)(torch.zeros(2, 4, 5))


OVER_BATCHES = ["batch", "noisy_batch", "l1", "l2", "linf", "mean_only", "variance_only"]
OVER_BATCHES += ["ghost_batch", "batch_renorm", "moving_average_batch", "power_norm", "evonorm_b0"]
OVER_BATCHES += ["switchable", "iterative_whitening"]


@pytest.mark.parametrize("name", OVER_BATCHES)
@pytest.mark.parametrize("shape", [(1, 4), (1, 4, 1, 1)], ids=str)
def test_one_value_a_channel(name: str, shape: tuple[int, ...]) -> None:
    module = make(name).features(4)
    with pytest.raises(ValueError, match=r"more than (1|one) value per channel"):
        module(torch.zeros(shape))
    assert module.eval()(torch.ones(shape)).shape == shape


@pytest.mark.parametrize("name", ["l1", "linf"])
def test_constant_channels_stay_finite(name: str) -> None:
    inputs = torch.zeros(4, 3, requires_grad=True)
    outputs = make(name).features(3)(inputs)
    outputs.square().sum().backward()
    assert inputs.grad is not None
    assert inputs.grad.isfinite().all()


@pytest.mark.parametrize(
    "name", ["weight_standardization", "scaled_weight_standardization", "centered_weight_norm"]
)
def test_centring_single_weights(name: str) -> None:
    with pytest.raises(ValueError, match=r"at least 2 weights a unit.*shape \(4, 1, 1, 1\)"):
        make(name).weight(nn.Conv2d(1, 4, 1))
