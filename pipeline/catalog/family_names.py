"""Names of torchvision's and timm's classifiers, read from their files: an import costs seconds."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_BUILDER = re.compile(r"^@register_model(?:\(\))?\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)


def torchvision_names() -> tuple[str, ...]:
    """List the classifiers that the installed torchvision registers, sorted.

    They are the registered functions of ``torchvision/models/*.py``; detectors, segmenters and
    videos are in folders below. Cost: 20 files read, about 5 ms, once per process.
    """
    return _registered("torchvision")


def timm_names() -> tuple[str, ...]:
    """List the classifiers that the installed timm registers, sorted; none without timm.

    Cost: 100 files read, about 50 ms, once per process.
    """
    return _registered("timm")


@cache
def _registered(package: str) -> tuple[str, ...]:
    spec = find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    files = [file for folder in folders or () for file in Path(folder).glob("models/*.py")]
    return tuple(sorted(name for file in files for name in _BUILDER.findall(_text(file))))


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")
