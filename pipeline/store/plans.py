"""The plans of a store's sweeps, kept by content: a sweep's name may stand for several.

    <root>/sweeps/<name>/<plan_id>.json

A plan's id is the digest of its cells' ids. So the same cells asked for again are the same plan,
and a trial run with ``--set``, or another file of the same name, is another one and displaces none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.cli import redact
from pipeline.store.filesystem import StoreError, json_bytes, validate_name
from pipeline.store.identity import Identity


@dataclass(frozen=True)
class Plan:
    """One plan of a sweep, as a driver last ran it.

    Attributes:
        content: of `pipeline.spec.read.plan`. finished: how many of its cells have a result.
        changes: the ``--set`` options of that run. time: of that run, ISO.
    """

    name: str
    plan_id: str
    content: dict[str, Any]
    finished: int
    changes: Sequence[str]
    time: str

    @property
    def cells(self) -> list[str]:
        """Ids of its cells, in order."""
        return self.content["cells"]

    def describe(self) -> str:
        """The plan in a few words: ``3f2a91… (4 of 24 cells finished, --set seeds=5)``."""
        changes = "".join(f", --set {change}" for change in self.changes)
        when = f", run {self.time}" if self.time else ""
        return (
            f"{self.plan_id} ({self.finished} of {len(self.cells)} cells finished{changes}{when})"
        )


def best_first(plans: Iterable[Plan]) -> list[Plan]:
    """Plans of one sweep in the order in which they are to be shown.

    First that with the most finished cells; of equals one that was run without ``--set``; of equals
    the one that was run last.
    """
    return sorted(plans, key=lambda p: (p.finished, not p.changes, p.time, p.plan_id), reverse=True)


def chosen(plans: Sequence[Plan], wanted: Collection[str]) -> Plan:
    """The plan to show: the one whose id begins with one of ``wanted``, or else the first.

    Raises:
        ValueError: if several are wanted.
    """
    found = [plan for plan in plans if plan.plan_id.startswith(tuple(wanted))] if wanted else []
    if len(found) > 1:
        ids = ", ".join(plan.plan_id for plan in found)
        raise ValueError(f"--plan: it fits several plans of {found[0].name}: {ids}; name one")
    return found[0] if found else plans[0]


def plan_id(plan: Mapping[str, Any]) -> str:
    """Digest of a plan's cells, in whatever order: 16 hex digits."""
    return hashlib.sha256(json.dumps(sorted(plan["cells"])).encode()).hexdigest()[:16]


class Plans(Identity):
    """The plans of a store."""

    def write_plan(self, plan: Mapping[str, Any], changes: Sequence[str] = ()) -> str:
        """Save a sweep's planned cells under its name and their digest, which is returned.

        Args:
            changes: the ``--set`` options with which the driver was started.
        """
        name, own = validate_name(plan["name"]), plan_id(plan)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        run = {"time": now, "changes": [redact(change) for change in changes]}
        self._write(_path(name, own), json_bytes({**plan, "run": run}))
        return own

    def plans(self) -> list[str]:
        """Names of the sweeps that this store knows, sorted."""
        return sorted({path.rsplit("/", 2)[-2] for path in self._plan_files("sweeps")})

    def plan_ids(self, name: str) -> list[str]:
        """Ids of a sweep's plans, sorted."""
        paths = self._plan_files(f"sweeps/{validate_name(name)}")
        return sorted(path.rsplit("/", 1)[-1].removesuffix(".json") for path in paths)

    def read_plan(self, name: str, plan_id: str, finished: Collection[str]) -> Plan:
        """Read one plan of a sweep.

        Args:
            finished: ids of the store's finished cells.

        Raises:
            StoreError: if it is missing, damaged or of another schema.
        """
        content = self._read_json(_path(name, plan_id))
        try:
            done = sum(cell in finished for cell in content["cells"])
            run = dict(content.pop("run", {}))
            changes = [str(change) for change in run.get("changes", [])]
        except (KeyError, TypeError, ValueError):
            raise StoreError(f"{self._full(_path(name, plan_id))}: not a plan") from None
        return Plan(name, plan_id, content, done, changes, str(run.get("time", "")))

    def plans_of(self, name: str, finished: Collection[str]) -> list[Plan]:
        """All plans of a sweep, the one to show first."""
        ids = self.plan_ids(name)
        return best_first(self.read_plan(name, each, finished) for each in ids)

    def plan_bytes(self, name: str, plan_id: str) -> bytes:
        """The file of a plan, as it is."""
        return self._read(_path(name, plan_id))

    def planned_cells(self, name: str) -> list[str]:
        """Ids of the cells of all plans of a sweep, each once."""
        plans = [self.read_plan(name, each, ()) for each in self.plan_ids(name)]
        return list(dict.fromkeys(cell for plan in plans for cell in plan.cells))

    def _plan_files(self, folder: str) -> list[str]:
        depth = self._full("sweeps").count("/") + 2
        found = self._find(folder)
        return [path for path in found if path.endswith(".json") and path.count("/") == depth]


def _path(name: str, plan_id: str) -> str:
    return f"sweeps/{validate_name(name)}/{validate_name(plan_id)}.json"
