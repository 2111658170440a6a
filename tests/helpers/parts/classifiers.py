"""For tests of borrowed classifiers: a mark for a normalizer, equality with the original."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pipeline.architectures import Network


class Marked(nn.Identity):
    """Stands where a normalizer would, and sees that it gets channels where it expects them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, input: Tensor) -> Tensor:
        assert input.ndim in (2, 4)
        assert input.shape[1] == self.channels
        return input


def check_same(
    network: Network,
    model: nn.Module,
    size: int,
    give: Callable[[Network, nn.Module, Tensor], None],
) -> None:
    """Same weights: the same outputs in training, and in evaluation after it, in float64.

    And every parameter takes part in training.

    Args:
        network: ours.
        model: the original.
        size: of the images.
        give: gives the model the network's parameters.
    """
    shape = (3, 3, size, size)
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    give(network, model, inputs)
    for mode in (True, False):
        network.train(mode)
        model.train(mode)
        with torch.no_grad():
            torch.testing.assert_close(network(inputs), model(inputs), rtol=1e-6, atol=1e-8)
    network.train()(inputs).square().sum().backward()
    still = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []
