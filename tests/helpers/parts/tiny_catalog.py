"""A small catalog and a good sweep file, for tests that must not depend on the real parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.catalog import registry as catalog

_FILES = {
    "data/sets.py": '''
def digits(*, validation: float = 0.1):
    """Digits."""

def parquet(*, path: Location, cache: Location | None = None, limit: int | None = None):
    """Images in files."""
''',
    "architectures/networks.py": '''
def vgg11(task, norm, *, width: float = 1):
    """A VGG."""

def resnet20(task, norm, *, width: float = 1.0, preactivation: bool = False):
    """A ResNet."""

def deep_linear(task, norm, *, depth: int = 25):
    """A deep linear network."""
''',
    "normalizers/feature.py": '''
def none():
    """Nothing."""

def batch(*, eps: float = 1e-5):
    """Batch."""

def group(*, groups: int = 32, eps: float = 1e-5, affine: bool = True):
    """Group."""
''',
    "normalizers/weight.py": '''
def weight_standardization():
    """Weights."""
''',
    "optimizers/rules.py": '''
def sgd(*, momentum: Decay = 0.0, nesterov: bool = False):
    """Gradient descent."""

def adam(*, betas: Betas = (0.9, 0.999), eps: Positive = 1e-8):
    """Adam."""

def adamw(*, betas: Betas = (0.9, 0.999), eps: Positive = 1e-8):
    """AdamW."""

def lion(*, betas: Betas = (0.9, 0.99)):
    """Lion."""
''',
    "probes/probes.py": '''
def gradient_ics(view, *, parameters: Literal["weights", "all"] = "weights"):
    """ICS."""

def landscape(
    view,
    *,
    lengths: AtLeastOne = 8,
    ranges: NonEmpty[Literal["lr", "common"]] = ("lr",),
    span: Span = (0.5, 4.0),
):
    """Landscape."""
''',
}

QUICKSTART = """\
name: quickstart
description: one line
base:
  data: digits
  architecture: {name: vgg11, width: 0.25}
  normalizer: batch
  training: {steps: 400, batch_size: 128, lr: 0.1}
grid:
  normalizer: [none, batch, {name: group, groups: 8}, [weight_standardization, group]]
  training.lr: [0.1, 0.01]
exclude: [{normalizer: none, training.lr: 0.1}]
include: [{normalizer: batch, training.lr: 1.0}]
seeds: 3
probes:
  gradient_ics: {every: 50}
  landscape:
    log: 5
    at: [3, 1]
resources: {cpus: 1, gpus: null}
"""


def install(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """Make the catalog read the small parts, written below ``root``."""
    for name, text in _FILES.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setattr(catalog, "ROOT", root)
