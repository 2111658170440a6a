"""Parts of residual networks (He et al. 2015): stem, blocks, branches and shortcuts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor, nn
from torch.nn.functional import pad

from pipeline.architectures import Activation, chain, convolution
from pipeline.normalizers import Normalizer

Part = Callable[[Normalizer, int, int, int], nn.Module]
"""Branch or shortcut of a block: (normalizer, input channels, output channels, stride) → module."""


def stem(norm: Normalizer, inputs: int, outputs: int, *, large: bool) -> nn.Sequential:
    """3x3 convolution, normalizer, activation; large: 7x7 of stride 2, and 3x3 max-pooling."""
    kernel, stride = (7, 2) if large else (3, 1)
    return chain(
        conv=convolution(norm, inputs, outputs, kernel, stride=stride),
        norm=norm.features(outputs),
        activation=Activation(norm.activation(outputs)),
        pool=nn.MaxPool2d(3, stride=2, padding=1) if large else nn.Identity(),
    )


class Block(nn.Module):
    """φ(F(x) + S(x)); the branch runs first, and so its weight layers come first."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module, activation: Activation) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut
        self.activation = activation

    def forward(self, inputs: Tensor) -> Tensor:
        return self.activation(self.branch(inputs) + self.shortcut(inputs))


def named_blocks(
    norm: Normalizer,
    inputs: int,
    groups: Sequence[tuple[int, int, int]],
    branch: Part,
    shortcut: Part,
) -> Iterator[tuple[str, Block]]:
    """Named blocks of groups (blocks, output channels, stride of the first block)."""
    for group, (count, outputs, first) in enumerate(groups, 1):
        for block in range(1, count + 1):
            shape = (norm, inputs, outputs, first if block == 1 else 1)
            activation = Activation(norm.activation(outputs))
            yield f"group{group}_block{block}", Block(branch(*shape), shortcut(*shape), activation)
            inputs = outputs


def basic(norm: Normalizer, inputs: int, outputs: int, stride: int) -> nn.Module:
    """Branch of two 3x3 convolutions, the first with the stride."""
    return chain(
        conv1=convolution(norm, inputs, outputs, 3, stride=stride),
        norm1=norm.features(outputs),
        activation1=Activation(norm.activation(outputs)),
        conv2=convolution(norm, outputs, outputs, 3),
        norm2=norm.features(outputs),
        residual=norm.residual(),
    )


def bottleneck(norm: Normalizer, inputs: int, outputs: int, stride: int) -> nn.Module:
    """Branch of a 1x1, a 3x3 (with the stride) and a 1x1 convolution, a quarter as wide inside."""
    middle = outputs // 4
    return chain(
        conv1=convolution(norm, inputs, middle, 1),
        norm1=norm.features(middle),
        activation1=Activation(norm.activation(middle)),
        conv2=convolution(norm, middle, middle, 3, stride=stride),
        norm2=norm.features(middle),
        activation2=Activation(norm.activation(middle)),
        conv3=convolution(norm, middle, outputs, 1),
        norm3=norm.features(outputs),
        residual=norm.residual(),
    )


class _Subsample(nn.Module):
    """Every stride-th pixel, and zero channels appended."""

    def __init__(self, stride: int, extra: int) -> None:
        super().__init__()
        self.stride = stride
        self.extra = extra

    def forward(self, inputs: Tensor) -> Tensor:
        return pad(inputs[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))


def subsample(norm: Normalizer, inputs: int, outputs: int, stride: int) -> nn.Module:
    """Shortcut without parameters (option A)."""
    del norm
    same = inputs == outputs and stride == 1
    return nn.Identity() if same else _Subsample(stride, outputs - inputs)


def project(norm: Normalizer, inputs: int, outputs: int, stride: int) -> nn.Module:
    """Shortcut by a normalized 1x1 convolution where shapes change (option B)."""
    if inputs == outputs and stride == 1:
        return nn.Identity()
    return chain(
        conv=convolution(norm, inputs, outputs, 1, stride=stride), norm=norm.features(outputs)
    )
