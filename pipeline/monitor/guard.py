"""What `pipeline.probes._view.preserve_state` does not know of, kept as the user's loop has it.

NumPy's global generator is meant throughout: a user's own code may draw from it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn


@contextmanager
def left_alone(network: nn.Module) -> Iterator[None]:
    """Context manager within which nothing works in place, and which puts back what is changed.

    That is keys of noise and the generators of Python and NumPy.
    """
    keyed = [m for m in network.modules() if hasattr(m, "noise_key")]
    keys = [vars(module)["noise_key"] for module in keyed]
    in_place: list[Any] = [m for m in network.modules() if getattr(m, "inplace", False) is True]
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    for module in in_place:
        module.inplace = False
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        for module in in_place:
            module.inplace = True
        for module, key in zip(keyed, keys, strict=True):
            vars(module)["noise_key"] = key


@contextmanager
def copied(buffers: Sequence[tuple[nn.Module, str]]) -> Iterator[None]:
    """Context manager in which copies stand for some buffers: a module, and the buffer's name."""
    before = [(module, name, module._buffers[name]) for module, name in buffers]
    for module, name, tensor in before:
        module._buffers[name] = None if tensor is None else tensor.clone()
    try:
        yield
    finally:
        for module, name, tensor in before:
            module._buffers[name] = tensor


def seed_all(key: int) -> None:
    """Seed the generators of torch, Python and NumPy, from which a forward may draw."""
    torch.manual_seed(key)
    random.seed(key)
    np.random.seed(key % 2**32)  # noqa: NPY002


def generators() -> list[str]:
    """The states of all global generators, to compare."""
    on_cards = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    states = [state.numpy().tobytes() for state in (torch.get_rng_state(), *on_cards)]
    name, keys, *places = np.random.get_state(legacy=True)  # noqa: NPY002
    return [str(states), str(random.getstate()), str((name, np.asarray(keys).tobytes(), places))]
