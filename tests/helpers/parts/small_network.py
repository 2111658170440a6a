"""Network classes as a user has them in a file."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Net(nn.Module):
    """A convolution, a block with a group normalization, a batch normalization of vectors."""

    def __init__(self, outputs: int = 10, width: int = 8, channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        self.norm = nn.GroupNorm(2, width)
        self.inner = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.inner_norm = nn.BatchNorm2d(width)
        self.act = nn.ReLU()
        self.hidden = nn.Linear(width, width)
        self.head = nn.Linear(width, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, H, W) → (N, outputs)."""
        maps = self.act(self.norm(self.stem(images)))
        maps = maps + self.act(self.inner_norm(self.inner(maps)))
        return self.head(torch.relu(self.hidden(maps.mean((2, 3)))))


class Maps(nn.Module):
    """It gives maps, where a classifier gives a vector per sample."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 10, 1)
        self.head = nn.Conv2d(10, 10, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 10, H, W)."""
        return self.head(self.layer(images))


class Functional(Net):
    """It normalizes by a function."""

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, H, W) → (N, outputs)."""
        maps = nn.functional.group_norm(self.stem(images), 2)
        return self.head(self.hidden(maps.mean((2, 3))))


class Branching(Net):
    """It asks for sizes, has an argument that nobody gives, and draws a mask and a table."""

    def __init__(self, outputs: int = 10, width: int = 8, channels: int = 3) -> None:
        super().__init__(outputs, width, channels)
        self.places = nn.Parameter(torch.empty(1, width, 8, 8))
        nn.init.normal_(self.places)

    def forward(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """(N, channels, H, W) → (N, outputs)."""
        maps = self.norm(self.stem(images)) + self.places
        if mask is not None:
            maps = maps * mask
        samples, _, height, width = maps.shape
        if height % 2 or height != width:
            raise ValueError("images must be squares of even sides")
        maps = nn.functional.dropout(maps, 0.5, training=self.training)
        return self.head(self.hidden(maps.reshape(samples, -1, height * width).mean(2)))
