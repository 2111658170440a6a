"""Another device than the host without having one: torch's meta device, in place of a GPU.

Its tensors have shapes and no values. What a GPU refuses, operations between tensors of two devices
and some arguments, is refused here. Random draws on the device are refused too. Where the host
waits for a GPU, since it reads values or copies tensors, is counted. What kernels compute is not
seen.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import pipeline
from tests.helpers.machines.cuda_rules import check_arguments, check_draws

TO_HOST = {"cpu", "item", "tolist", "numpy", "__array__", "__bool__", "__int__", "__float__"}
"""Methods that bring values to the host."""
MAKES = {"tensor", "as_tensor", "new_tensor"}
COPIES = {"_to_copy", "copy_"}
SENT = "_transfer.send"
"""The function whose copies are only queued on a GPU (see `test_transfer`)."""
_PACKAGE = str(Path(pipeline.__file__).parent)


class _Reads(TorchFunctionMode):
    """Gives the host made-up values where it reads, and counts by function where it waits."""

    def __init__(self, waits: Counter[str]) -> None:
        super().__init__()
        self.waits = waits

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in TO_HOST and args[0].is_meta:
            self.waits[caller()] += 1
            args = (_made_up(args[0]), *args[1:])
        found = func(*args, **(kwargs or {}))
        if name in MAKES and found.is_meta:
            self.waits[caller()] += 1
        return found


class _Kernels(TorchDispatchMode):
    """Refuses what a GPU refuses, within autograd too: two devices, arguments. Counts copies."""

    def __init__(self, waits: Counter[str]) -> None:
        super().__init__()
        self.waits = waits

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        check_arguments(func, args, kwargs or {})
        found = func(*args, **(kwargs or {}))
        check_draws(func, found)
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        if func.overloadpacket.__name__ in COPIES:
            if len({x.is_meta for x in (*given, found)}) == 2 and caller() != SENT:
                self.waits[caller()] += 1
        elif any(x.is_meta for x in given):  # a number may come from the host, as an argument
            assert all(x.is_meta or not x.ndim for x in given), func
        return found


def _made_up(values: Tensor) -> Tensor:
    return torch.rand(values.shape).to(values.dtype)


def caller() -> str:
    """The pipeline's innermost function that is running, with its module."""
    frame: FrameType | None = sys._getframe()
    while frame and not _is_ours(frame.f_code):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}" if frame else ""


def _is_ours(code: CodeType) -> bool:
    """Comprehensions count as the function they stand in: from Python 3.12 on they are of it."""
    return code.co_filename.startswith(_PACKAGE) and not code.co_name.startswith("<")


@contextmanager
def away() -> Iterator[Counter[str]]:
    """Inside, tensors on "meta" are treated as on a GPU; gives the waits by function."""
    waits = Counter[str]()
    with _Reads(waits), _Kernels(waits):
        yield waits
