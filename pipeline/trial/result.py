"""What a finished trial says: its summary, its cost, its provenance, and its record tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from torch import nn

from pipeline.spec import Cell
from pipeline.store import SCHEMA
from pipeline.training.outcome import Outcome
from pipeline.trial import record_tables
from pipeline.trial.provenance import provenance
from pipeline.trial.source_digest import imported_packages

_FINAL_SHARE = 0.05
"""The final training loss is the mean over this last share of the steps done (at least one)."""


def describe(
    cell: Cell,
    outcome: Outcome,
    network: nn.Module,
    data_digest: str,
    seconds: float,
    sources: Mapping[str, str],
) -> dict[str, Any]:
    """The content of ``result.json``, but for the record files' digests.

    Args:
        sources: digests of the code (`pipeline.trial.source_digest`) when the trial began.
    """
    parameters = list(network.parameters())
    device = parameters[0].device
    return {
        "schema": SCHEMA,
        "cell_id": cell.cell_id,
        "status": _status(outcome),
        "diverged_step": outcome.diverged_step,
        "settings": cell.settings,
        "labels": cell.labels,
        "summary": {
            **{key: _finite_or_none(value) for key, value in _summary(outcome).items()},
            "steps": len(outcome.curve["step"]),
            "parameters": sum(p.numel() for p in parameters),
        },
        "cost": _cost(outcome, seconds),
        "provenance": {
            **provenance(device, data_digest, _packages(cell.settings, network)),
            "precision": cell.settings["training"].get("precision"),
            "cuda_graph": outcome.cuda_graph,
            **({"why_eager": outcome.why_eager} if outcome.why_eager else {}),
            "sources": dict(sources),
        },
    }


def _packages(settings: Mapping[str, Any], network: nn.Module) -> set[str]:
    """Packages of others that the parts import, and those that the network's modules are of."""
    within = {type(module).__module__.partition(".")[0] for module in network.modules()}
    return imported_packages(settings) | within


def tables(outcome: Outcome) -> dict[str, pa.Table]:
    """The record tables by name; that of a probe ``mine/net`` is called ``mine-net``."""
    probes = {
        name.replace("/", "-"): record_tables.probe_table(blocks)
        for name, blocks in outcome.probes.items()
    }
    return {"training": record_tables.training_table(outcome.curve, outcome.evaluations), **probes}


def _status(outcome: Outcome) -> str:
    """``diverged`` says more than ``time_limit``: a run that its time limit cut, censored there."""
    if outcome.diverged_step is not None:
        return "diverged"
    return "time_limit" if outcome.timed_out else "ok"


def _summary(outcome: Outcome) -> dict[str, float | None]:
    """Losses at chance, first and last; evaluations of the trained network, or none."""
    trained = outcome.evaluations[-1] if _status(outcome) == "ok" else {}
    return {
        "chance_loss": outcome.chance_loss,
        "initial_loss": outcome.curve["train_loss"][0],
        "final_train_loss": _final_mean(outcome.curve["train_loss"]),
        "train_accuracy": _final_mean(outcome.curve["train_accuracy"]),
        "eval_train_loss": trained.get("eval_train_loss"),
        "eval_train_accuracy": trained.get("eval_train_accuracy"),
        "validation_loss": trained.get("validation_loss"),
        "validation_accuracy": trained.get("validation_accuracy"),
        "test_loss": trained.get("test_loss"),
        "test_accuracy": trained.get("test_accuracy"),
    }


def _final_mean(curve: Sequence[float | None]) -> float | None:
    final = curve[-max(1, round(_FINAL_SHARE * len(curve))) :]
    values = [value for value in final if value is not None]
    return sum(values) / len(values) if values else None


def _finite_or_none(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _cost(outcome: Outcome, seconds: float) -> dict[str, Any]:
    """Wall times in seconds; peaks of allocated memory are known on CUDA only."""
    return {
        "seconds": outcome.earlier_seconds + seconds,
        "training_seconds": outcome.training_seconds,
        "evaluation_seconds": outcome.evaluation_seconds,
        "probe_seconds": outcome.probe_seconds,
        "seconds_per_step": outcome.training_seconds / outcome.steps_taken,
        "probe_memory_bytes": outcome.probe_memory,
        "peak_memory_bytes": outcome.peak_memory,
    }
