from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from pipeline.architectures.vgg import vgg11, vgg13, vgg16, vgg19
from pipeline.normalizers import Normalizer

DEPTHS = {"A": (vgg11, 8), "B": (vgg13, 10), "D": (vgg16, 13), "E": (vgg19, 16)}


@pytest.mark.parametrize("config", sorted(DEPTHS))
def test_parameters_in_closed_form(config, images, batch):
    build, depth = DEPTHS[config]
    channels = [3, *(c for c in cfgs[config] if isinstance(c, int))]
    convolutions = sum(9 * a * b + 2 * b for a, b in pairwise(channels))
    network = build(images(), batch)
    assert sum(p.numel() for p in network.parameters()) == convolutions + 512 * 10 + 10
    assert len(network.weight_layers()) == depth + 1


@pytest.mark.parametrize("training", [True, False])
def test_features_are_those_of_torchvision(training, images):
    network = vgg11(images(), Normalizer(features=nn.BatchNorm2d)).double().train(training)
    reference = make_layers(cfgs["A"], batch_norm=True).double().train(training)
    features = nn.Sequential(*list(network)[:-1])
    values = reference.state_dict().values()
    features.load_state_dict(dict(zip(features.state_dict(), values, strict=True)))
    inputs = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(features(inputs), reference(inputs), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("size", "maps"), [(64, [32, 16, 8, 4, 1]), (32, [16, 8, 4, 2, 1]), (8, [4, 2, 2, 2, 1])]
)
def test_map_after_each_group(size, maps, images, none):
    values, sides = torch.zeros(1, 3, size, size), []
    for index, stage in enumerate(vgg13(images(size), none, width=0.125)):
        values = stage(values)
        if index % 2 == 1:
            sides.append(values.shape[-1])
    assert sides == maps


def test_last_pooling_takes_the_maximum_over_odd_maps_too(images, none):
    last = vgg11(images(28), none, width=0.125).get_submodule("layer8")
    inputs = torch.randn(2, 64, 3, 3)
    expected = nn.Sequential(*list(last.children())[:-1])(inputs).amax((2, 3), keepdim=True)
    assert torch.equal(last(inputs), expected)
