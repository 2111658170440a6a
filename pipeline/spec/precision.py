"""Which precision needs which device: what can be refused before torch is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def refuse_tf32(training: Mapping[str, Any], device: str) -> None:
    """Refuse a cell that is to train in TF32 on a device without it.

    Args:
        training: the cell's training settings.
        device: what the cell would run on, for the error.

    Raises:
        ValueError: if the cell's precision is tf32.
    """
    if training["precision"] == "tf32":
        raise ValueError(
            "training.precision: tf32 is the arithmetic of NVIDIA GPUs from Ampere on, not of "
            f"{device}; use float32 or bfloat16, e.g. --set training.precision=float32"
        )
