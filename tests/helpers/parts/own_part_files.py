"""A folder of own parts, one of each kind, and a sweep of them."""

from __future__ import annotations

from pathlib import Path

from pipeline.spec.read import Sweep, read_sweep

FILES = {
    "normalizers/scaled.py": '''
from torch import nn

from pipeline.normalizers import Normalizer

from .._shared import FACTOR


class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return FACTOR * self.factor * x


def scaled(*, factor: float = 2.0) -> Normalizer:
    """Multiply every feature."""
    return Normalizer(features=lambda channels: Scale(factor))
''',
    "normalizers/other.py": '''
from pipeline.normalizers import Normalizer


def other() -> Normalizer:
    """Nothing."""
    return Normalizer()
''',
    "_shared.py": "import yaml\n\nFACTOR = 1.0\n",
    "data/blobs.py": '''
import torch

from pipeline.data import Dataset, Split, Task


def blobs(*, samples: int = 64) -> Dataset:
    """Gaussian classes."""
    generator = torch.Generator().manual_seed(0)

    def split():
        targets = torch.randint(3, (samples,), generator=generator)
        inputs = torch.randn(samples, 1, 8, 8, generator=generator)
        return Split(inputs + targets.view(-1, 1, 1, 1), targets)

    task = Task(loss="cross_entropy", input_shape=(1, 8, 8), outputs=3)
    none = torch.ones(1)
    return Dataset(
        task=task, train=split(), validation=split(), test=split(), mean=none, std=none, digest="d"
    )
''',
    "probes/size.py": '''
import torch


def size(view) -> dict:
    """The norm of all parameters."""
    total = torch.stack([p.square().sum() for p in view.before.values()]).sum().sqrt()
    return {"norm": total[None]}
''',
    "optimizers/plain.py": '''
import torch

from pipeline.optimizers import UpdateRule


def plain(*, factor: float = 1.0) -> UpdateRule:
    """Gradient descent at a multiple of the rate."""

    def make(target):
        groups = [{**group, "lr_scale": factor} for group in target.groups]
        return torch.optim.SGD(groups, lr=target.lr)

    return UpdateRule(make=make)
''',
    "architectures/small.py": '''
from torch import nn

from pipeline.architectures import Activation, Network, chain, convolution
from pipeline.architectures._images import classifier


def small(task, norm, *, width: int = 4):
    """One convolution."""
    stage = chain(
        conv=convolution(norm, task.input_shape[0], width, 3),
        norm=norm.features(width),
        activation=Activation(norm.activation(width)),
    )
    return Network(task, [("stage", stage), ("head", classifier(width, task.outputs))])
''',
}


SWEEP = """
name: own
parts: {parts}
base:
  data: mine/blobs
  architecture: mine/small
  normalizer: {{name: mine/scaled, factor: 3}}
  training: {{steps: 3, batch_size: 8, optimizer: {{name: mine/plain, factor: 2}}}}
probes:
  mine/size: {{every: 1}}
"""


def folder(root: Path, **changes: str) -> Path:
    for name, text in {**FILES, **changes}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def sweep(root: Path, parts: str = "[./mine]", **changes: str) -> Sweep:
    folder(root / "mine", **changes)
    (root / "own.yaml").write_text(SWEEP.format(parts=parts))
    return read_sweep(root / "own.yaml")
