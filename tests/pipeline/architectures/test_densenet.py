from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models.densenet import _DenseBlock, _Transition

from pipeline.architectures.densenet import densenet, densenet40, densenet100, densenet_bc100

BC = {"bottleneck": True, "compression": 0.5}


def millions(network: nn.Module) -> float:
    return round(sum(p.numel() for p in network.parameters()) / 1e6, 1)


@pytest.mark.parametrize(
    ("build", "options", "count"),
    [
        (densenet40, {}, 1.0),
        (densenet100, {}, 7.0),
        (densenet, {"depth": 100, "growth": 24}, 27.2),
        (densenet_bc100, {}, 0.8),
        (densenet, {"depth": 250, "growth": 24, **BC}, 15.3),
        (densenet, {"depth": 190, "growth": 40, **BC}, 25.6),
    ],
)
def test_parameters_of_huang_2017_table_2(build, options, count, images, batch):
    with torch.device("meta"):
        assert millions(build(images(), batch, **options)) == count


@pytest.mark.parametrize("depth", [40, 100])
def test_depth_counts_weight_layers(depth, images, batch):
    for options in ({}, BC):
        with torch.device("meta"):
            assert len(densenet(images(), batch, depth=depth, **options).weight_layers()) == depth


@pytest.mark.parametrize("training", [True, False])
def test_forward_is_that_of_torchvision_blocks(training, images, batch):
    torch.manual_seed(0)

    def block(channels: int) -> nn.Module:
        return _DenseBlock(2, channels, bn_size=4, growth_rate=8, drop_rate=0.0)

    reference = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        *(block(16), _Transition(32, 16), block(16), _Transition(32, 16), block(16)),
        *(nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)),
    )
    reference.double().train(training)
    network = densenet(images(16), batch, depth=16, growth=8, **BC).double().train(training)
    values = reference.state_dict().values()
    network.load_state_dict(dict(zip(network.state_dict(), values, strict=True)))
    inputs = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(network(inputs), reference(inputs), rtol=1e-12, atol=1e-12)


def test_dense_layer_concatenates(images, none):
    layer = densenet(images(), none, depth=7).get_submodule("block1_layer1")
    inputs = torch.randn(2, 16, 8, 8)
    outputs = layer(inputs)
    assert outputs.shape == (2, 28, 8, 8)
    assert torch.equal(outputs[:, :16], inputs)
    assert torch.equal(outputs[:, 16:], layer.get_submodule("branch")(inputs))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 41}, r"depth of 3n \+ 4"),
        ({"depth": 4}, r"depth of 3n \+ 4"),
        ({"depth": 43, "bottleneck": True}, r"with bottlenecks needs a depth of 6n \+ 4"),
        ({"depth": 40, "growth": 0}, "growth of at least 1"),
        ({"depth": 40, "compression": 1.5}, r"compression in \(0, 1\]"),
    ],
)
def test_bad_options(options, message, images, none):
    with pytest.raises(ValueError, match=message):
        densenet(images(), none, **options)
