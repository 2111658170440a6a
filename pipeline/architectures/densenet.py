"""Densely connected networks for small images (Huang et al. 2017, section 3 and 4).

A dense layer appends k new maps (k: the growth rate) to all maps before it: y = [x, F(x)], where F
is normalizer, activation, 3x3 convolution. With a bottleneck, F is normalizer, activation, 1x1
convolution to 4k maps, and then the same. Three blocks of equally many layers; between them a
transition: normalizer, activation, 1x1 convolution to θ times the maps (θ: the compression, rounded
down), 2x2 average pooling. The stem has 16 maps, or 2k in a BC network (bottleneck and θ < 1).
Stages: the stem, one per dense layer, one per transition, the head.

The normalizer acts on all concatenated channels at once. ``width`` multiplies k and the stem's 16.

Small images: a pooling is left out where it would leave less than 2x2. An 8x8 image is pooled to
4x4 and 2x2.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from pipeline.architectures import Activation, Network, chain, convolution
from pipeline.architectures._images import (
    classifier,
    image_shape,
    require_maps,
    resolutions,
    scaled,
)
from pipeline.data import Task
from pipeline.normalizers import Normalizer


def densenet40(task: Task, norm: Normalizer, *, width: float = 1.0) -> Network:
    """DenseNet-40, growth rate 12: three blocks of 12 layers."""
    return densenet(task, norm, depth=40, width=width)


def densenet100(task: Task, norm: Normalizer, *, width: float = 1.0) -> Network:
    """DenseNet-100, growth rate 12: three blocks of 32 layers."""
    return densenet(task, norm, depth=100, width=width)


def densenet_bc100(task: Task, norm: Normalizer, *, width: float = 1.0) -> Network:
    """DenseNet-BC-100, growth rate 12: three blocks of 16 bottleneck layers, compression 0.5."""
    return densenet(task, norm, depth=100, bottleneck=True, compression=0.5, width=width)


def densenet(
    task: Task,
    norm: Normalizer,
    *,
    depth: int,
    growth: int = 12,
    bottleneck: bool = False,
    compression: float = 1.0,
    width: float = 1.0,
) -> Network:
    """DenseNet of any depth 3n + 4 (6n + 4 with bottlenecks), growth rate and compression."""
    name = f"densenet of depth {depth}"
    layers = _layers_per_block(depth, growth, bottleneck, compression)
    inputs, size = image_shape(name, task)
    parts = resolutions(size, 3, padded=False)
    require_maps(name, norm, parts[-1].size)
    growth = scaled(growth, width)
    channels = 2 * growth if bottleneck and compression < 1 else scaled(16, width)
    stages: list[tuple[str, nn.Module]] = [
        ("stem", chain(conv=convolution(norm, inputs, channels, 3)))
    ]
    for block, part in enumerate(parts, 1):
        if block > 1:
            outputs = max(1, int(compression * channels))
            stages.append(
                (f"transition{block - 1}", _transition(norm, channels, outputs, part.stride))
            )
            channels = outputs
        dense = _dense_layers(norm, channels, growth, layers, bottleneck)
        stages += [(f"block{block}_layer{index}", layer) for index, layer in enumerate(dense, 1)]
        channels += layers * growth
    return Network(task, [*stages, ("head", _head(norm, channels, task.outputs))])


def _layers_per_block(depth: int, growth: int, bottleneck: bool, compression: float) -> int:
    """Layers in each of the three blocks; checks the options that only DenseNets have."""
    per_layer = 6 if bottleneck else 3
    if depth < per_layer + 4 or (depth - 4) % per_layer:
        kind = "with bottlenecks " if bottleneck else ""
        raise ValueError(f"densenet {kind}needs a depth of {per_layer}n + 4, not {depth}")
    if growth < 1:
        raise ValueError(f"densenet needs a growth of at least 1, not {growth}")
    if not 0 < compression <= 1:
        raise ValueError(f"densenet needs a compression in (0, 1], not {compression}")
    return (depth - 4) // per_layer


class _Dense(nn.Module):
    """[x, F(x)] along the channels: (N, C, H, W) → (N, C + k, H, W)."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.cat([inputs, self.branch(inputs)], dim=1)


def _dense_layers(
    norm: Normalizer, channels: int, growth: int, count: int, bottleneck: bool
) -> Iterator[_Dense]:
    for _ in range(count):
        if bottleneck:
            narrow = _unit(norm, channels, 4 * growth, 1)
            branch = chain(bottleneck=narrow, growth=_unit(norm, 4 * growth, growth, 3))
        else:
            branch = _unit(norm, channels, growth, 3)
        yield _Dense(branch)
        channels += growth


def _unit(norm: Normalizer, inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return chain(
        norm=norm.features(inputs),
        activation=Activation(norm.activation(inputs)),
        conv=convolution(norm, inputs, outputs, kernel),
    )


def _transition(norm: Normalizer, inputs: int, outputs: int, stride: int) -> nn.Sequential:
    pool = nn.AvgPool2d(2) if stride == 2 else nn.Identity()
    return chain(unit=_unit(norm, inputs, outputs, 1), pool=pool)


def _head(norm: Normalizer, channels: int, outputs: int) -> nn.Sequential:
    return chain(
        norm=norm.features(channels),
        activation=Activation(norm.activation(channels)),
        classifier=classifier(channels, outputs),
    )
