"""VGG networks for small images (Simonyan & Zisserman 2015, configurations A, B, D, E).

3x3 convolutions in five groups of 64, 128, 256, 512, 512 channels, each followed by its normalizer
and activation; 2x2 max-pooling after each group; one linear layer instead of the source's three, as
is usual for CIFAR. Stages: one per convolution (its pooling included), and the head.

Small images: a pooling is left out where it would leave less than 2x2, but the last one always
takes the maximum over what remains. So a 32x32 image is halved five times to 1x1, and an 8x8 image
twice, then pooled from 2x2 to 1x1.
"""

from __future__ import annotations

from torch import nn

from pipeline.architectures import Activation, Network, chain, convolution
from pipeline.architectures._images import Size, image_shape, require_maps, resolutions, scaled
from pipeline.data import Task
from pipeline.normalizers import Normalizer

_CHANNELS = (64, 128, 256, 512, 512)


def vgg11(task: Task, norm: Normalizer, *, width: float = 1.0) -> Network:
    """VGG-11: 8 convolutions and a linear layer."""
    return _vgg("vgg11", (1, 1, 2, 2, 2), task, norm, width)


def vgg13(task: Task, norm: Normalizer, *, width: float = 1.0) -> Network:
    """VGG-13: 10 convolutions and a linear layer."""
    return _vgg("vgg13", (2, 2, 2, 2, 2), task, norm, width)


def vgg16(task: Task, norm: Normalizer, *, width: float = 1.0) -> Network:
    """VGG-16: 13 convolutions and a linear layer."""
    return _vgg("vgg16", (2, 2, 3, 3, 3), task, norm, width)


def vgg19(task: Task, norm: Normalizer, *, width: float = 1.0) -> Network:
    """VGG-19: 16 convolutions and a linear layer."""
    return _vgg("vgg19", (2, 2, 4, 4, 4), task, norm, width)


def _vgg(name: str, counts: tuple[int, ...], task: Task, norm: Normalizer, width: float) -> Network:
    """Build a VGG with ``counts`` convolutions in its five groups."""
    inputs, size = image_shape(name, task)
    parts = resolutions(size, len(counts), padded=False)
    require_maps(name, norm, parts[-1].size)
    pools = [*(part.stride for part in parts[1:]), parts[-1].size]
    stages = []
    for count, channels, pool in zip(counts, _CHANNELS, pools, strict=True):
        outputs = scaled(channels, width)
        for position in range(1, count + 1):
            stages.append(_layer(norm, inputs, outputs, pool if position == count else 1))
            inputs = outputs
    head = chain(flatten=nn.Flatten(), linear=nn.Linear(inputs, task.outputs))
    named = [(f"layer{index}", stage) for index, stage in enumerate(stages, 1)]
    return Network(task, [*named, ("head", head)])


def _layer(norm: Normalizer, inputs: int, outputs: int, pool: int | Size) -> nn.Sequential:
    """Convolution, normalizer, activation, and max-pooling over ``pool`` pixels (1: none)."""
    return chain(
        conv=convolution(norm, inputs, outputs, 3),
        norm=norm.features(outputs),
        activation=Activation(norm.activation(outputs)),
        pool=nn.Identity() if pool == 1 else nn.MaxPool2d(pool),
    )
