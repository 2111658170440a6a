"""The outcome of one training: its curve, evaluations and probes, and what they cost."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Outcome:
    """What one run of the loop found."""

    diverged_step: int | None = None
    timed_out: bool = False
    """Whether time ran out before the last step."""
    curve: dict[str, list[Any]] = field(default_factory=dict)
    """Columns with a row for each step: step, lr, train_loss, train_accuracy."""
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    """Rows: step, and loss and accuracy of each split in evaluation mode (``test_loss``)."""
    probes: dict[str, list[dict[str, list[Any]]]] = field(default_factory=dict)
    """By probe: blocks of columns, one block a step."""
    chance_loss: float = math.nan
    """Training loss of the best constant prediction (`objective.chance_loss`)."""
    steps_taken: int = 0
    """Updates made: more than the curve shows where a divergence was found late."""
    training_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    probe_seconds: dict[str, float] = field(default_factory=dict)
    probe_memory: dict[str, int | None] = field(default_factory=dict)
    """By probe: peak bytes beyond what was allocated before it; None where it is not known."""
    peak_memory: int | None = None
    """Peak bytes of the whole run."""
    earlier_seconds: float = 0.0
    """Wall time of earlier trials up to the checkpoint that this one went on from."""
    cuda_graph: bool = False
    """Whether the steps were replays of a CUDA graph."""
    why_eager: str | None = None
    """Why they were not, where a graph was asked for on a GPU."""
