"""Residual networks (He et al. 2015): a block is y = φ(F(x) + S(x)).

F is the residual branch, S the shortcut and φ the activation (post-activation form). The branch
ends with the normalizer's ``residual`` module. Stages: the stem, one per block, the head.

- ``resnet20`` to ``resnet110``, and ``resnet`` of any depth 6n + 2 (section 4.2): three groups of n
  blocks of two 3x3 convolutions, 16, 32, 64 channels; the shortcut has no parameters (option A):
  where shapes change it takes every second pixel and appends zero channels.
- ``resnet18``, ``resnet34``, ``resnet50`` (table 1): four groups of 64, 128, 256, 512 channels
  (four times that with bottlenecks), 1x1 convolutions as shortcuts where shapes change (option B).
  A bottleneck has its stride on the 3x3 convolution, as torchvision's. Images of at least 64x64
  meet the source's stem, 7x7 of stride 2 and max-pooling; smaller ones a 3x3 convolution alone.

Small images: a stride is left out where it would leave less than 2x2; the shortcuts follow. So the
groups of ``resnet20`` work on 8, 4, 2 pixels for an 8x8 image, those of ``resnet18`` on 8, 4, 2, 2.
"""

from __future__ import annotations

from pipeline.architectures import Network
from pipeline.architectures._images import (
    Size,
    classifier,
    image_shape,
    require_maps,
    resolutions,
    scaled,
)
from pipeline.architectures._residual import (
    Part,
    basic,
    bottleneck,
    named_blocks,
    project,
    stem,
    subsample,
)
from pipeline.data import Task
from pipeline.normalizers import Normalizer


def resnet(task: Task, norm: Normalizer, *, depth: int, width: float = 1.0) -> Network:
    """Residual network for small images, of any depth 6n + 2."""
    if depth < 8 or depth % 6 != 2:
        raise ValueError(f"resnet needs a depth of 6n + 2 (8, 14, 20, ...), not {depth}")
    name = f"resnet{depth}"
    inputs, size = image_shape(name, task)
    parts = resolutions(size, 3, padded=True)
    require_maps(name, norm, parts[-1].size)
    widths = [scaled(channels, width) for channels in (16, 32, 64)]
    groups = [
        (depth // 6, channels, part.stride) for channels, part in zip(widths, parts, strict=True)
    ]
    entry = ("stem", stem(norm, inputs, widths[0], large=False))
    blocks = named_blocks(norm, widths[0], groups, basic, subsample)
    head = ("head", classifier(widths[-1], task.outputs))
    return Network(task, [entry, *blocks, head])


def resnet20(task: Task, norm: Normalizer, *, width: float = 1.0) -> Network:
    """ResNet-20 for small images: three groups of 3 blocks."""
    return resnet(task, norm, depth=20, width=width)


def resnet32(task: Task, norm: Normalizer, *, width: float = 1.0) -> Network:
    """ResNet-32 for small images: three groups of 5 blocks."""
    return resnet(task, norm, depth=32, width=width)


def resnet44(task: Task, norm: Normalizer, *, width: float = 1.0) -> Network:
    """ResNet-44 for small images: three groups of 7 blocks."""
    return resnet(task, norm, depth=44, width=width)


def resnet56(task: Task, norm: Normalizer, *, width: float = 1.0) -> Network:
    """ResNet-56 for small images: three groups of 9 blocks."""
    return resnet(task, norm, depth=56, width=width)


def resnet110(task: Task, norm: Normalizer, *, width: float = 1.0) -> Network:
    """ResNet-110 for small images: three groups of 18 blocks."""
    return resnet(task, norm, depth=110, width=width)


def resnet18(task: Task, norm: Normalizer, *, width: float = 1.0) -> Network:
    """ResNet-18 of ImageNet widths: 8 blocks of two 3x3 convolutions."""
    return _wide("resnet18", (2, 2, 2, 2), basic, 1, task, norm, width)


def resnet34(task: Task, norm: Normalizer, *, width: float = 1.0) -> Network:
    """ResNet-34 of ImageNet widths: 16 blocks of two 3x3 convolutions."""
    return _wide("resnet34", (3, 4, 6, 3), basic, 1, task, norm, width)


def resnet50(task: Task, norm: Normalizer, *, width: float = 1.0) -> Network:
    """ResNet-50 of ImageNet widths: 16 bottleneck blocks."""
    return _wide("resnet50", (3, 4, 6, 3), bottleneck, 4, task, norm, width)


def _wide(
    name: str,
    counts: tuple[int, ...],
    branch: Part,
    expansion: int,
    task: Task,
    norm: Normalizer,
    width: float,
) -> Network:
    """Build a network of ImageNet widths; blocks put out ``expansion`` times a group's width."""
    inputs, size = image_shape(name, task)
    large = min(size) >= 64
    parts = resolutions(_quarter(size) if large else size, 4, padded=True)
    require_maps(name, norm, parts[-1].size)
    widths = [scaled(channels, width) for channels in (64, 128, 256, 512)]
    groups = [
        (count, expansion * channels, part.stride)
        for count, channels, part in zip(counts, widths, parts, strict=True)
    ]
    entry = ("stem", stem(norm, inputs, widths[0], large=large))
    blocks = named_blocks(norm, widths[0], groups, branch, project)
    head = ("head", classifier(expansion * widths[-1], task.outputs))
    return Network(task, [entry, *blocks, head])


def _quarter(size: Size) -> Size:
    """Size after the two strides of the large stem, each rounding up."""
    height, width = ((side + 3) // 4 for side in size)
    return height, width
