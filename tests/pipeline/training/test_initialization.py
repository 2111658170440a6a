from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from pipeline.architectures import Network
from pipeline.architectures.vgg import vgg11
from pipeline.data import Task
from pipeline.normalizers import Normalizer, Traits
from pipeline.training.initialization import Scheme, initialize

TASK = Task(loss="cross_entropy", input_shape=(3, 8, 8), outputs=10)


class Centred(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight - weight.mean((1, 2, 3), keepdim=True)

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight


def centre(module: nn.Module) -> nn.Module:
    return parametrize.register_parametrization(module, "weight", Centred())


NONE = Normalizer()
BATCH = Normalizer(features=nn.BatchNorm2d, traits=Traits(bias_free=True))
WEIGHT = Normalizer(weight=parametrizations.weight_norm)
CENTRED = Normalizer(weight=centre)


def made(
    norm: Normalizer, scheme: Scheme = "glorot", seed: int = 0, width: float = 0.25
) -> Network:
    network = vgg11(TASK, norm, width=width)
    initialize(network, norm, scheme, seed)
    return network


def modules(network: Network) -> list[nn.Conv2d | nn.Linear]:
    found = [layer.module for layer in network.weight_layers()]
    return [module for module in found if isinstance(module, nn.Conv2d | nn.Linear)]


def weights(network: Network) -> list[Tensor]:
    """Effective weights, in forward order."""
    return [module.weight.detach() for module in modules(network)]


def test_weights_are_bitwise_the_same_whatever_normalizes():
    torch.manual_seed(1)
    first = weights(made(NONE))
    torch.manual_seed(2)
    second = weights(made(BATCH))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_weight_norm_starts_at_the_drawn_weight():
    for drawn, effective in zip(weights(made(NONE)), weights(made(WEIGHT)), strict=True):
        torch.testing.assert_close(effective, drawn, rtol=1e-6, atol=1e-7)


def test_a_projection_starts_with_the_drawn_raw_weight():
    convolutions = modules(made(CENTRED))[:-1]
    for drawn, module in zip(weights(made(NONE))[:-1], convolutions, strict=True):
        raw = module.get_parameter("parametrizations.weight.original")
        assert torch.equal(raw.detach(), drawn)
        assert torch.equal(module.weight.detach(), Centred()(drawn))


def test_seeds_and_layers_differ():
    assert not torch.equal(weights(made(NONE))[0], weights(made(NONE, seed=1))[0])
    same_shape = weights(made(NONE))[6:8]
    assert not torch.equal(*same_shape)


def test_glorot_is_uniform_to_its_bound():
    weight = weights(made(NONE, width=1.0))[6]
    bound = math.sqrt(6 / (9 * 512 + 9 * 512))
    assert weight.abs().max() <= bound
    assert weight.abs().max() > 0.999 * bound
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.01)


def test_he_is_normal_with_its_standard_deviation():
    weight = weights(made(NONE, "he", width=1.0))[6]
    std = math.sqrt(2 / (9 * 512))
    assert weight.std().item() == pytest.approx(std, rel=0.01)
    assert (weight.abs() < std).float().mean().item() == pytest.approx(0.6827, abs=0.005)


def test_biases_are_zero_and_normalizers_at_their_defaults():
    network = made(BATCH)
    assert not modules(network)[-1].get_parameter("bias").any()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.weight.eq(1).all()
            assert not module.bias.any()
    assert all(not module.get_parameter("bias").any() for module in modules(made(NONE)))


def test_normalizer_has_the_last_word():
    def zero_head(network: nn.Module) -> None:
        nn.init.zeros_(network.get_submodule("head.linear").get_parameter("weight"))

    assert not weights(made(Normalizer(initialize=zero_head)))[-1].any()


def test_global_generator_is_left_alone():
    network = vgg11(TASK, NONE, width=0.25)
    before = torch.random.get_rng_state()
    initialize(network, NONE, "he", 0)
    assert torch.equal(torch.random.get_rng_state(), before)
