"""Architectures: one file a family, one public function an architecture (its YAML name).

An architecture is a `Network`: stages in forward order with a single tensor between them. That one
fact lets a probe run an updated prefix once and many suffixes after it.

Three rules hold for all of them:

- The normalizer acts on every convolution and every hidden linear layer. The output layer is left
  alone: it keeps its own weight and its bias, under weight normalizers too, so that the scale of
  the logits means the same for all.
- ``width`` multiplies every channel count; see `_images.scaled`.
- A map is halved only where at least 2x2 is left, so that an 8x8 image passes through a network
  made for 32x32; see `_images.resolutions`.

The networks ``torchvision/<name>`` keep the first; they have no width, and strides of their own:
see `_torchvision`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from torch import Tensor, nn
from torch.func import functional_call

from pipeline.data import Task
from pipeline.data._objective import objective
from pipeline.normalizers import Normalizer


class Activation(nn.Module):
    """A nonlinearity that probes can find; its input is the layer's *pre-activation*.

    Wraps what the normalizer gives for C channels (ReLU, or its replacement); a linear network
    wraps nothing, and its pre-activations are the outputs of its layers.
    """

    def __init__(self, function: nn.Module | None = None) -> None:
        super().__init__()
        self.function = function if function is not None else nn.Identity()

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply the nonlinearity."""
        return self.function(inputs)


class Table(nn.Module):
    """A learned tensor that is no layer's weight: position embeddings, class tokens, layer scales.

    Its initial values are a fixed start, or, with ``std``, drawn from N(0, std²) by
    `pipeline.training.initialization`. A module, so that it stands among the layers where data
    meet it.
    """

    def __init__(self, value: Tensor, *, std: float | None = None) -> None:
        super().__init__()
        self.value = nn.Parameter(value.detach().clone())
        self.std = std

    def forward(self) -> Tensor:
        """The tensor."""
        return self.value


class Layer(NamedTuple):
    """A module that probes address: a weight layer (conv, linear) or an `Activation`."""

    name: str
    """Its dotted path in the network, a stable name for records."""
    module: nn.Module
    stage: int
    """Index of the stage that holds it."""


class Network(nn.Sequential):
    """Stages in forward order, with a single tensor at every boundary.

    Within a stage, weight layers must be registered in an order in which data can meet them.
    """

    def __init__(self, task: Task, stages: Iterable[tuple[str, nn.Module]]) -> None:
        super().__init__(OrderedDict(stages))
        self.task = task

    def weight_layers(self) -> list[Layer]:
        """Convolutions and linear layers, in forward order."""
        return self._layers((nn.Conv2d, nn.Linear))

    def activation_layers(self) -> list[Layer]:
        """Activations, in forward order."""
        return self._layers((Activation,))

    def objective(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The training loss of the network's outputs, a scalar."""
        return objective(self.task, outputs, targets)

    def modules_in_order(self) -> Iterator[tuple[str, nn.Module]]:
        """All modules with their dotted paths, in an order in which data can meet them."""
        return self.named_modules()

    def run_stages(self, params: Mapping[str, Tensor], inputs: Tensor, stages: range) -> Tensor:
        """Run consecutive stages as a pure function of ``params``, the whole network's."""
        children = list(self.named_children())[stages.start : stages.stop]
        part = nn.Sequential(OrderedDict(children))
        own = {name: params[name] for name, _ in part.named_parameters()}
        return functional_call(part, own, (inputs,))

    def _layers(self, kinds: tuple[type[nn.Module], ...]) -> list[Layer]:
        return [
            Layer(name, module, index)
            for index, (stage_name, stage) in enumerate(self.named_children())
            for name, module in stage.named_modules(prefix=stage_name)
            if isinstance(module, kinds)
        ]


def convolution(
    norm: Normalizer, inputs: int, outputs: int, kernel: int, *, stride: int = 1
) -> nn.Module:
    """Make a same-padded convolution, reparametrized as the normalizer wants.

    It has a bias unless the normalizer makes one redundant (``Traits.bias_free``).
    """
    bias = not norm.traits.bias_free
    return norm.weight(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=bias)
    )


def chain(**modules: nn.Module) -> nn.Sequential:
    """Run modules one after another under the given names, which become their dotted paths."""
    return nn.Sequential(OrderedDict(modules))
