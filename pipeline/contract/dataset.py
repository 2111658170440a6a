"""Rules of datasets."""

from __future__ import annotations

from typing import Any

import torch

from pipeline.catalog import registry as catalog
from pipeline.data import Dataset

_SPLITS = ("train", "validation", "test")


def _make(config: dict[str, Any]) -> Dataset:
    return catalog.make("data", config)


def _splits(config: dict[str, Any]) -> str:
    made = _make(config)
    for name in _SPLITS:
        inputs, targets = getattr(made, name)
        if not len(targets) or len(inputs) != len(targets):
            return f"{name} has {len(inputs)} inputs and {len(targets)} targets"
        if tuple(inputs.shape[1:]) != made.task.input_shape:
            return (
                f"{name} inputs are {tuple(inputs.shape[1:])}, the task's {made.task.input_shape}"
            )
        if not made.standardize(inputs).isfinite().all():
            return f"some {name} inputs are not finite"
    return ""


def _targets(config: dict[str, Any]) -> str:
    made = _make(config)
    for name in _SPLITS:
        targets = getattr(made, name).targets
        if made.task.loss == "squared_error":
            if tuple(targets.shape[1:]) != (made.task.outputs,):
                return f"{name} targets have shape {tuple(targets.shape)}"
        elif targets.dtype != torch.int64 or not 0 <= targets.min() <= targets.max() < (
            made.task.outputs
        ):
            return f"{name} targets are not int64 classes from 0 to {made.task.outputs - 1}"
    return ""


def _same(config: dict[str, Any]) -> str:
    first, again = _make(config), _make(config)
    if first.digest != again.digest or not first.digest:
        return "its digest is empty, or another one each time"
    for name in _SPLITS:
        pairs = zip(getattr(first, name), getattr(again, name), strict=True)
        if not all(torch.equal(a, b) for a, b in pairs):
            return f"{name} differs each time"
    return ""


def _no_trace(config: dict[str, Any]) -> str:
    before = torch.get_rng_state()
    _make(config)
    drawn = not torch.equal(before, torch.get_rng_state())
    torch.set_rng_state(before)
    return "it draws from torch's global generator; make one of a seed" if drawn else ""


RULES = {
    "three splits of the task's shape, finite": _splits,
    "targets are the task's": _targets,
    "the same bits twice": _same,
    "no trace: it draws from no global generator": _no_trace,
}
