"""Planned sweeps and finished cells, on a disk or in object storage."""

from pipeline.store.atomic_write import write_atomic
from pipeline.store.filesystem import SCHEMA, json_bytes
from pipeline.store.plans import Plan, best_first, chosen, plan_id
from pipeline.store.seal import is_altered, sealed
from pipeline.store.store import CellStates, Store, StoreError

__all__ = [
    "SCHEMA",
    "CellStates",
    "Plan",
    "Store",
    "StoreError",
    "best_first",
    "chosen",
    "is_altered",
    "json_bytes",
    "plan_id",
    "sealed",
    "write_atomic",
]
