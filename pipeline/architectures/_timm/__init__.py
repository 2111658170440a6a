"""Any classifier of timm, without trained weights, under any normalizer.

``timm/resnet10t`` and the like: the names of ``timm.list_models()``. timm is not one of this
package's dependencies. The network is timm's, traced and replaced by the rules of `_torchvision`.
Before that, what timm has as classes of its own becomes what torch has:

- Normalizations with an activation (``BatchNormAct2d``) become a normalization and an activation.
- Weight standardization is a normalization too: such a convolution becomes a plain one.
- Attention is written out, since torch's fused attention has no second derivative. Drop path and
  drop block are left out.

A network takes images of the size that its positions are made for: that of the data. A network
that cannot be cut, or normalizes or weighs its inputs in a way that nothing can replace, is refused
by name. Divisions in a ``forward`` of timm's own stay, such as the global response normalization of
``convnextv2`` and the cosines of ``swinv2_cr``.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch import nn

from pipeline.architectures import Network
from pipeline.architectures._images import image_shape
from pipeline.architectures._torchvision import normalized
from pipeline.data import Task
from pipeline.normalizers import Normalizer


def timm(model: str, task: Task, norm: Normalizer) -> Network:
    """Build timm's classifier of that name.

    Raises:
        ValueError: if timm is not installed, or as `normalized`.
    """
    name = f"timm/{model}"
    try:
        library: Any = import_module("timm")
        from pipeline.architectures._timm.exchange import exchange
    except ImportError as error:
        raise ValueError(f"{name} needs timm: pip install timm ({error})") from error
    channels, size = image_shape(name, task)
    config = library.get_pretrained_cfg(model)
    sized = {"img_size": size} if config is not None and config.fixed_input_size else {}

    def make() -> nn.Module:
        made = library.create_model(
            model, pretrained=False, num_classes=task.outputs, in_chans=channels, **sized
        )
        return exchange(made)

    return normalized(make, task, norm, name=name)
