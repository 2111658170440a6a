"""A network of one's own: any class of modules in a file, under any normalizer."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from pipeline.architectures import Network
from pipeline.architectures._torchvision import normalized
from pipeline.architectures._user_class import user_class
from pipeline.cli import did_you_mean, quoted
from pipeline.data import Location, Task
from pipeline.normalizers import Normalizer


def module(task: Task, norm: Normalizer, *, path: Location, **options: Any) -> Network:
    """Any nn.Module class of a file, its normalizations replaced: ``path: my_net.py:Net``.

    All other options are keyword arguments of the class. Its parts are replaced as those of
    ``torchvision/<name>``. Group, instance and RMS normalizations become the normalizer's too.

    Args:
        path: file and class. A digest of both is in the cell's id. The file is read alone: it can
            import installed packages, and no file beside it.

    Raises:
        ValueError: if there is no such class, or it does not take the options, or it does not turn
            (N, C, H, W) into (N, outputs), or torch.fx cannot trace it.
    """
    made = user_class(path)
    _check_options(path, made, options)

    def make() -> nn.Module:
        return made(**options)

    return normalized(make, task, norm, name=path)


def _check_options(path: str, made: type[nn.Module], options: dict[str, Any]) -> None:
    parameters = inspect.signature(made).parameters.values()
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters):
        return
    known = {each.name for each in parameters}
    for name in options:
        if name not in known:
            hint = did_you_mean(name, known) if known else "it takes none"
            raise ValueError(f"{path} has no option {quoted(name)}; {hint}")
    for each in parameters:
        required = each.default is each.empty and each.kind is not inspect.Parameter.VAR_POSITIONAL
        if required and each.name not in options:
            raise ValueError(f"{path} needs the option {each.name}; give it beside path")
