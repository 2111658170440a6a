"""Every normalizer goes into a small convolutional network, and it trains."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.normalizers import Normalizer
from tests.pipeline.normalizers.blocks import NAMES, make, set_noise_key
from tests.pipeline.normalizers.references import REFERENCES


class _Residual(nn.Module):
    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + self.branch(inputs)


def _network(norm: Normalizer, channels: int) -> nn.Module:
    bias = not norm.traits.bias_free
    branch = OrderedDict(
        conv2=norm.weight(nn.Conv2d(channels, channels, 3, padding=1, bias=bias)),
        norm2=norm.features(channels),
        residual=norm.residual(),
    )
    modules = OrderedDict(
        conv1=norm.weight(nn.Conv2d(1, channels, 3, padding=1, bias=bias)),
        norm1=norm.features(channels),
        activation1=norm.activation(channels),
        block=_Residual(nn.Sequential(branch)),
        activation2=norm.activation(channels),
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        linear=nn.Linear(channels, 2),
    )
    network = nn.Sequential(modules)
    norm.initialize(network)
    return network


def _stripes() -> tuple[Tensor, Tensor]:
    """Horizontal and vertical stripes, in noise."""
    stripes = torch.tensor([1.0, -1.0]).repeat(3).expand(6, 6)
    targets = torch.arange(32) % 2
    images = torch.stack([stripes if target else stripes.T for target in targets]).unsqueeze(1)
    return images + 0.5 * torch.randn(images.shape), targets


@pytest.mark.parametrize("name", NAMES)
def test_loss_falls(name: str) -> None:
    torch.manual_seed(0)
    images, targets = _stripes()
    network = _network(make(name), REFERENCES[name].channels)
    optimizer = torch.optim.SGD(network.parameters(), lr=REFERENCES[name].lr)
    losses = []
    for step in range(31):
        set_noise_key(network, step)
        loss = functional.cross_entropy(network(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
