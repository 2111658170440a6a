"""Any classifier of torchvision, without trained weights, under any normalizer.

``torchvision/resnet50`` and the like: the names of ``torchvision.models``. The network is
torchvision's, traced (torch.fx); its parts are replaced:

- A normalization becomes the normalizer's. Batch normalizations act on maps as they are. A layer
  normalization of a transformer or a ConvNeXt sees the channels of one token or pixel; in its place
  the normalizer sees (N, C, H, W), or for tokens a map of T x 1 pixels, with the channels moved to
  dimension 1. So `layer_per_pixel` is what torchvision has there; `layer` takes moments over all
  tokens of a sample, `batch` over all tokens of all samples. Epsilon, momentum and affine are the
  normalizer's, not torchvision's.
- In modules of one's own, so are group, instance and RMS normalizations, and batch normalizations
  of vectors. Functions that normalize are refused.
- Networks without any normalization (alexnet, squeezenet, vgg11 ...) get one behind every
  convolution but the output layer: so vgg11 and vgg11_bn are one network under every normalizer.
- Every convolution and linear layer but the last goes through the normalizer's ``weight``,
  projections of attention and of squeeze-and-excitation included. A layer right before a normalizer
  has a bias unless the normalizer makes it redundant; of the others, those that torchvision leaves
  without one get one under the same condition.
- ReLU, ReLU6, SiLU, Hardswish, GELU and Tanh become the normalizer's activation if it replaces
  ReLU, and else stay what they are. Gates (sigmoids that multiply) stay.
- Residual branches end with the normalizer's ``residual``: of the two sides of an addition, the one
  with more weight layers.
- Dropout and stochastic depth are left out, as training is a function of parameters and batch.
  Auxiliary outputs are off. Nothing works in place.
- The first convolution takes the data's channels. Strides are torchvision's own, made for images of
  224 pixels: 32 pixels end as 1x1 maps in most.

Initial weights come from `pipeline.training.initialization`; class tokens and layer scales keep
torchvision's start, position tables its standard deviation, 0.02.

Stages: cut before every weight layer behind which the data pass through a single tensor: the blocks
of a ResNet, every convolution of a VGG, every layer of a DenseNet, the halves of a transformer
block. A stage bears the name of torchvision's module; within it parts are called by their role:
``layer1_0.branch.conv1``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx, nn
from torch.fx.proxy import TraceError
from torch.overrides import TorchFunctionMode
from torchvision import models
from torchvision.models.swin_transformer import ShiftedWindowAttention

from pipeline.architectures import Network
from pipeline.architectures._images import image_shape
from pipeline.architectures._torchvision.graph import Unsupported, shape, traced
from pipeline.architectures._torchvision.modules import AsMultihead, WindowAttention
from pipeline.architectures._torchvision.parts import replaced
from pipeline.architectures._torchvision.stages import stages
from pipeline.data import Task
from pipeline.normalizers import Normalizer


def torchvision(model: str, task: Task, norm: Normalizer) -> Network:
    """Build torchvision's classifier of that name.

    Raises:
        ValueError: if the inputs are not images, or do not pass through the network, or shrink to
            maps that are too small for the normalizer.
    """
    name = f"torchvision/{model}"

    def make() -> nn.Module:
        return models.get_model(model, **_arguments(model, task))

    return normalized(make, task, norm, name=name)


def normalized(
    make: Callable[[], nn.Module], task: Task, norm: Normalizer, *, name: str = "the network"
) -> Network:
    """A network of any module that torch.fx can trace, its parts replaced as torchvision's are.

    Args:
        make: makes the module, for images of the task; it is called twice.
        task: the data's.
        norm: what takes the place of the module's normalizations.
        name: what errors call it.

    Raises:
        ValueError: as `torchvision`, or if torch.fx cannot trace the module, or its outputs are not
            of shape (N, outputs).
    """
    channels, size = image_shape(name, task)
    try:
        with torch.device("meta"):
            graph = traced(lambda: _blank(make, channels), task.input_shape)
    except TraceError as error:
        raise ValueError(f"{name}: torch.fx cannot trace it: {error}") from error
    except Unsupported as error:
        raise ValueError(f"{name}: {error}") from error
    except (AttributeError, LookupError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise ValueError(f"{name}: torch.fx cannot trace it: {reason}") from error
    except (AssertionError, RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{name} does not take images of {size[0]}x{size[1]}: {reason}") from error
    _check_outputs(name, graph, task)
    return Network(task, stages(graph, replaced(name, graph, _blank(make, channels), norm)))


def _check_outputs(name: str, graph: fx.Graph, task: Task) -> None:
    """Compare the outputs of a batch of 2 images with what the task needs."""
    (found,) = graph.output_node().all_input_nodes[:1] or (graph.output_node(),)
    if shape(found) != (2, task.outputs):
        raise ValueError(
            f"{name} turns 2 images into outputs of shape {shape(found)}, where the data need "
            f"(2, {task.outputs}); set the option that gives their number"
        )


_DRAWS = ("normal_", "uniform_", "kaiming_normal_", "kaiming_uniform_")
"""What torch's initializations call, as functions of `torch.nn.init` or methods of a tensor."""


_COUNTS = (torch.arange, torch.linspace, torch.tensor)
"""Functions whose numbers a constructor reads."""


class _Blank(TorchFunctionMode):
    """Within it nothing is drawn, and what is drawn later is 0.

    `pipeline.training.initialization` draws instead.

    RegNets find their widths by tensors, which must have values on the meta device too.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if getattr(func, "__name__", "") in _DRAWS:
            tensor = args[0] if args else given["tensor"]
            tensor.is_drawn = True  # a table of it is drawn later
            with torch.no_grad():
                return tensor.zero_()
        counts = {"device": "cpu"} if func in _COUNTS else {}
        return func(*args, **{**given, **counts})


def _blank(make: Callable[[], nn.Module], channels: int) -> nn.Module:
    """A network without drawn weights, with attention that can be observed."""
    with _Blank():
        model = make()
        for parent in list(model.modules()):
            for key, child in parent.named_children():
                setattr(parent, key, _observable(child, channels))
    return model.to(torch.get_default_device())


def _arguments(name: str, task: Task) -> dict[str, Any]:
    size = task.input_shape[1:]
    if name in ("googlenet", "inception_v3"):
        own: dict[str, Any] = {"aux_logits": False, "init_weights": False}
    elif name.startswith("vit_"):
        own = {"image_size": size[0]}
    else:
        own = {"input_size": size} if name.startswith("maxvit_") else {}
    return {"num_classes": task.outputs, **own}


def _observable(module: nn.Module, channels: int) -> nn.Module:
    """The module, or what replaces it: attention, or a convolution of images of other channels."""
    if isinstance(module, nn.MultiheadAttention):
        return AsMultihead(module)
    if isinstance(module, ShiftedWindowAttention):
        return WindowAttention(module)
    if isinstance(module, nn.Conv2d) and module.in_channels == 3 != channels:
        own = ("out_channels", "kernel_size", "stride", "padding", "dilation")
        settings: dict[str, Any] = {key: getattr(module, key) for key in own}
        return nn.Conv2d(channels, bias=module.bias is not None, **settings)
    return module
