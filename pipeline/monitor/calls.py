"""The order in which a network calls its modules, found by running it once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn


@contextmanager
def recorded(root: nn.Module) -> Iterator[list[nn.Module]]:
    """Context manager that gives a list to which every call of a module is appended."""
    calls: list[nn.Module] = []

    def note(module: nn.Module, _: Any) -> None:
        calls.append(module)

    with ExitStack() as hooks:
        for module in root.modules():
            hooks.callback(module.register_forward_pre_hook(note).remove)
        yield calls


def call_order(
    root: nn.Module, run: Callable[[], Any]
) -> tuple[list[tuple[str, nn.Module]], Counter[nn.Module]]:
    """All modules with their paths by their first call, and how often each was called.

    A module that is never called (its parent reads its parameters) follows its parent.

    Args:
        root: the network.
        run: runs it once.
    """
    with recorded(root) as calls:
        run()
    first = {module: place for place, module in reversed(list(enumerate(calls)))}
    places: dict[str, int] = {}
    for name, module in root.named_modules():
        places[name] = first.get(module, places.get(name.rpartition(".")[0], 0))
    order = sorted(root.named_modules(), key=lambda item: places[item[0]])
    return order, Counter(calls)
