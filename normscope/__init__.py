"""normscope in one's own code: `Monitor` for a training loop; importing it costs no torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.figures import plot
    from analysis.load import load
    from pipeline.architectures._torchvision import normalized
    from pipeline.monitor.monitor import Monitor
    from pipeline.normalizers import Normalizer, Traits
    from pipeline.optimizers import UpdateRule

__all__ = ["Monitor", "Normalizer", "Traits", "UpdateRule", "load", "normalized", "plot"]

_HOMES = {
    "Monitor": "pipeline.monitor.monitor",
    "Normalizer": "pipeline.normalizers",
    "Traits": "pipeline.normalizers",
    "UpdateRule": "pipeline.optimizers",
    "load": "analysis.load",
    "normalized": "pipeline.architectures._torchvision",
}
_MODULES = {"plot": "analysis.figures.plot"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name not in _HOMES:
        raise AttributeError(f"module 'normscope' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
