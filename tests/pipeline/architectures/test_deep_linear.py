from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pipeline.architectures import Network
from pipeline.architectures.deep_linear import deep_linear
from pipeline.normalizers import Normalizer, Traits
from pipeline.training.initialization import initialize

BATCH = Normalizer(features=nn.BatchNorm1d)


def weights_of(network: Network) -> list[Tensor]:
    return [layer.module.get_parameter("weight") for layer in network.weight_layers()]


def test_output_is_the_matrix_product(vectors, none):
    network = deep_linear(vectors, none)
    initialize(network, none, "glorot", 0)
    network.double()
    weights = weights_of(network)
    assert [tuple(weight.shape) for weight in weights] == [(10, 10)] * 25
    inputs = torch.randn(6, 10, dtype=torch.float64)
    expected = inputs @ torch.linalg.multi_dot(weights[::-1]).T
    torch.testing.assert_close(network(inputs), expected, rtol=1e-12, atol=1e-15)


def test_normalizes_all_but_the_last_layer(vectors):
    network = deep_linear(vectors, BATCH, depth=3)
    values = inputs = torch.randn(6, 10)
    for index, weight in enumerate(weights_of(network)):
        values = values @ weight.T
        if index < 2:
            centred = values - values.mean(0)
            values = centred / (centred.square().mean(0) + 1e-5).sqrt()
    torch.testing.assert_close(network(inputs), values, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("last", "count"), [(False, 4), (True, 5)])
def test_normalize_last(last, count, vectors):
    network = deep_linear(vectors, BATCH, depth=5, normalize_last=last)
    assert sum(isinstance(module, nn.BatchNorm1d) for module in network.modules()) == count
    assert len(network.weight_layers()) == 5


def test_has_no_biases(vectors, none):
    assert all(layer.module.bias is None for layer in deep_linear(vectors, none).weight_layers())


@pytest.mark.parametrize(
    ("norm", "message"),
    [
        (Normalizer(activation=lambda channels: nn.Tanh()), "replaces the activation"),
        (Normalizer(traits=Traits(minimum_spatial_size=2)), "needs maps of several pixels"),
    ],
)
def test_unsuitable_normalizers(norm, message, vectors):
    with pytest.raises(ValueError, match=f"does not suit deep_linear.*{message}"):
        deep_linear(vectors, norm)


def test_images_are_refused(images, none):
    with pytest.raises(ValueError, match=r"needs vectors, .* have shape \(3, 8, 8\)"):
        deep_linear(images(8), none)


def test_depth_must_be_positive(vectors, none):
    with pytest.raises(ValueError, match="at least 1, not 0"):
        deep_linear(vectors, none, depth=0)
