"""Which cells a study is about: of each sweep one plan, and the settings of its cells."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from analysis.study import LABELS, Labels, labelled
from pipeline.spec import training_id
from pipeline.store import Plan, Store, StoreError, best_first, chosen

OWN = [name for name in LABELS if name != "probes"]
"""The labels that a plan has."""


class Plans:
    """Reads the plans of a store's sweeps, gathering problems as it goes."""

    def __init__(
        self, store: Store, finished: Collection[str], wanted: Collection[str], strict: bool
    ) -> None:
        """Arguments: the ids of finished cells, those of the plans to show; `Reader`'s strict."""
        self.store, self.finished, self.wanted, self.strict = store, finished, wanted, strict
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.read: list[Plan] = []

    def take(self, names: Sequence[str]) -> list[Plan]:
        """Of each sweep the plan to show.

        Raises:
            ValueError: if a wanted plan is not there. StoreError: for a damaged one, if strict.
        """
        found = [(name, self._all(name)) for name in names]
        self._check([plan for _, plans in found for plan in plans])
        shown = []
        for _, plans in found:
            if plans:
                plan = chosen(plans, self.wanted)
                shown.append(plan)
                self._note(plan, [each for each in plans if each != plan])
        return shown

    def _all(self, name: str) -> list[Plan]:
        plans = []
        for plan_id in self.store.plan_ids(name):
            try:
                plans.append(self._checked(self.store.read_plan(name, plan_id, self.finished)))
            except (StoreError, OSError, pa.ArrowException) as error:
                if self.strict:
                    raise
                self.problems.append(str(error))
        return best_first(plans)

    @staticmethod
    def _checked(plan: Plan) -> Plan:
        try:
            own, settings = plan.content["labels"], plan.content["settings"]
            rows = [[own[cell][key] for key in OWN] for cell in plan.cells]
            pd.DataFrame(rows, columns=OWN).astype({"lr": float, "seed": int})
            _ = [(dict(settings[c]["training"]), dict(settings[c]["probes"])) for c in plan.cells]
        except (KeyError, TypeError, ValueError):
            where = f"sweeps/{plan.name}/{plan.plan_id}.json"
            message = f"{where}: a planned cell lacks its labels or settings, or they are damaged"
            raise StoreError(message) from None
        return plan

    def _check(self, plans: Sequence[Plan]) -> None:
        for wanted in self.wanted:
            if not any(plan.plan_id.startswith(wanted) for plan in plans):
                known = "; ".join(f"{plan.name}: {plan.describe()}" for plan in plans) or "none"
                raise ValueError(f"--plan {wanted}: no such plan; there are {known}")

    def _note(self, plan: Plan, others: Sequence[Plan]) -> None:
        """Note other plans than the one that is shown.

        Each run of a loop of one's own makes a plan that has one cell more: those are no others.
        """
        if plan.content.get("own_loop"):
            others = [each for each in others if not set(each.cells) <= set(plan.cells)]
        if others:
            also = "; ".join(each.describe() for each in others)
            self.notes.append(
                f"sweep {plan.name}: the report is of plan {plan.describe()}; the store has other "
                f"plans of this name: {also}; --plan ID shows one (--against-plan ID for --against)"
            )


def planned(plans: Sequence[Plan], trained: Sequence[str] = ()) -> pd.DataFrame:
    """A row per sweep and planned cell: sweep, cell_id, labels (`labels.labelled`)."""
    labels = labelled(cells(plans), _own(plans), trained)
    rows = [
        {"sweep": plan.name, "cell_id": cell, **labels[cell]}
        for plan in plans
        for cell in plan.cells
    ]
    frame = pd.DataFrame(rows, columns=["sweep", "cell_id", *LABELS])
    return frame.astype({"lr": float, "seed": int})


def cells(plans: Sequence[Plan]) -> dict[str, dict[str, Any]]:
    """By planned cell, its settings."""
    return {cell: plan.content["settings"][cell] for plan in plans for cell in plan.cells}


def trainings(plans: Sequence[Plan]) -> dict[str, str]:
    """By planned cell, its training's id (`pipeline.spec.read.training_id`)."""
    found: dict[str, str] = {}
    for plan in plans:
        settings, contents = plan.content["settings"], plan.content.get("contents", {})
        found |= {cell: training_id(settings[cell], contents.get(cell, {})) for cell in plan.cells}
    return found


def _own(plans: Sequence[Plan]) -> Mapping[str, Labels]:
    return {cell: plan.content["labels"][cell] for plan in plans for cell in plan.cells}
