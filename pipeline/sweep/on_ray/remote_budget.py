"""A run's budget in a process of its own, which workers on all nodes ask before a cell starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.sweep.budget import Budget, Limits, Need


class RemoteBudget:
    """The driver's handle of the budget. Where its process is gone, no cell is admitted."""

    def __init__(self, lease: str, limits: Limits, needs: Mapping[str, Need]) -> None:
        node = ray.get_runtime_context().get_node_id()
        here: Any = NodeAffinitySchedulingStrategy(node, soft=False)
        remote: Any = ray.remote(num_cpus=0, scheduling_strategy=here)(Budget)
        self._actor = remote.options(name=_name(lease)).remote(limits, dict(needs))

    def ended(self, cell_id: str, status: str) -> None:
        """A cell has ended, with whatever status; does not wait."""
        self._actor.ended.remote(cell_id, status)

    def cause(self) -> str:
        """Why to stop: no cell can start any more, or a limit is reached; empty: go on."""
        try:
            return ray.get(self._actor.cause.remote(), timeout=30)
        except RayError:
            return ""  # the next look tells, or no cell starts


def is_admitted(lease: str, cell_id: str) -> bool:
    """Whether the budget lets a cell start; called in a worker."""
    budget: Any = ray.get_actor(_name(lease))
    return ray.get(budget.admit.remote(cell_id))


def _name(lease: str) -> str:
    return f"normscope-budget-{lease}"
