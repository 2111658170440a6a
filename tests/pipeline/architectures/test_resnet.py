from __future__ import annotations

import pytest
import torch
import torchvision.models
from torch import nn

from pipeline.architectures import resnet as family
from pipeline.architectures._residual import Block, subsample


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.73)]
)
def test_parameters_of_he_2015_table_6(depth, millions, images, batch):
    """The table prints 1.7 for 110 layers."""
    with torch.device("meta"):
        network = getattr(family, f"resnet{depth}")(images(), batch)
    assert round(parameters(network) / 1e6, 2) == millions
    assert len(network.weight_layers()) == depth


@pytest.mark.parametrize(
    ("name", "count"),
    [("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032)],
)
def test_parameters_of_torchvision(name, count, images, batch):
    with torch.device("meta"):
        network = getattr(family, name)(images(224, outputs=1000), batch)
        assert parameters(getattr(torchvision.models, name)()) == count
    assert parameters(network) == count


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_forward_is_that_of_torchvision(name, training, images, batch):
    torch.manual_seed(0)
    reference = getattr(torchvision.models, name)(num_classes=10).double().train(training)
    for module in reference.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    network = getattr(family, name)(images(64), batch).double().train(training)
    values = reference.state_dict().values()
    network.load_state_dict(dict(zip(network.state_dict(), values, strict=True)))
    inputs = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    torch.testing.assert_close(network(inputs), reference(inputs), rtol=1e-10, atol=1e-10)


def test_shortcut_without_parameters(none):
    inputs = torch.randn(2, 3, 5, 5)
    outputs = subsample(none, 3, 7, 2)(inputs)
    expected = torch.zeros(2, 7, 3, 3)
    for row in range(3):
        for column in range(3):
            expected[:, :3, row, column] = inputs[:, :, 2 * row, 2 * column]
    assert torch.equal(outputs, expected)


def test_block_adds_branch_and_shortcut(images, none):
    block = family.resnet(images(), none, depth=8)[2]
    assert isinstance(block, Block)
    inputs = torch.randn(2, 16, 32, 32)
    expected = (block.branch(inputs) + block.shortcut(inputs)).clamp(min=0)
    assert torch.equal(block(inputs), expected)
    assert expected.shape == (2, 32, 16, 16)


@pytest.mark.parametrize(
    ("name", "size", "sides"),
    [
        ("resnet20", 8, {8, 4, 2}),
        ("resnet18", 8, {8, 4, 2}),
        ("resnet18", 32, {32, 16, 8, 4}),
        ("resnet18", 64, {16, 8, 4, 2}),
    ],
)
def test_sides_of_maps(name, size, sides, images, none):
    values, found = torch.zeros(1, 3, size, size), set()
    for stage in list(getattr(family, name)(images(size), none, width=0.125))[:-1]:
        values = stage(values)
        found.add(values.shape[-1])
    assert found == sides


@pytest.mark.parametrize("depth", [2, 18, 21])
def test_depth_must_fit(depth, images, none):
    with pytest.raises(ValueError, match=r"depth of 6n \+ 2"):
        family.resnet(images(), none, depth=depth)
