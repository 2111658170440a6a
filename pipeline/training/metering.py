"""Time that a device's queued work cannot hide from."""

from __future__ import annotations

import time

import torch


def synchronized_time(device: torch.device) -> float:
    """Seconds of a steady clock, once the device has done all that it was given.

    So that training, evaluation and every probe each pay for their own work. It waits: not for use
    inside a loop.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
