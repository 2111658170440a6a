"""From the host to a trial's device, without a wait."""

from __future__ import annotations

import torch
from torch import Tensor


def send(values: Tensor, device: torch.device) -> Tensor:
    """Copy a host tensor to a device; on the host itself, return the tensor as it is.

    A copy to a GPU starts from pinned memory and is only queued: the host does not wait for it, and
    the device's later work does. All random numbers are drawn on the host and go this way, so that
    a cell's draws are the same on every device. (`normalizers._counter_random` is the exception.)
    """
    if device.type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values if device == values.device else values.to(device)
