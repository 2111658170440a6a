"""Copies to a device: queued from pinned memory on a GPU, nothing at all on the host."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from pipeline.data._transfer import send


class Recorded:
    """Stands in for a host tensor and writes down what is asked of it."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def pin_memory(self) -> Recorded:
        self.calls.append(("pin_memory",))
        return self

    def to(self, device: torch.device, non_blocking: bool = False) -> Recorded:
        self.calls.append(("to", device.type, non_blocking))
        return self


def test_a_copy_to_a_gpu_is_queued_from_pinned_memory():
    values = Recorded()
    send(cast(Tensor, values), torch.device("cuda", 0))
    assert values.calls == [("pin_memory",), ("to", "cuda", True)]


def test_on_the_host_nothing_is_copied():
    values = torch.arange(3)
    assert send(values, torch.device("cpu")) is values
