"""``--profile NAME``: other values that a sweep file gives under a name, such as a small form.

    profiles:
      cpu: {base.training.steps: 1500, grid.training.lr: [0.1, 0.03], seeds: 3}

The keys are those of ``--set``. The sweep is then called NAME-PROFILE, so that its plan, its report
and its MLflow experiment stand beside those of the file's full form.
"""

from __future__ import annotations

from typing import Any

from pipeline.cli import Mistakes, SpecError, did_you_mean
from pipeline.spec.overrides import assign_leaves, split_key


def with_profile(data: dict[str, Any], name: str, places: dict[str, str]) -> dict[str, Any]:
    """Copy a file's data with a profile's values put in, and note in ``places`` where they are.

    Raises:
        SpecError: if the file has no such profile, or a key of it names nothing.
    """
    known = data.get("profiles")
    if not isinstance(known, dict) or not isinstance(known.get(name), dict):
        choices = known if isinstance(known, dict) else {}
        problem = f"--profile {name}: no such profile; {did_you_mean(name, choices)}"
        raise SpecError(problem, place=places[""])
    mistakes = Mistakes()
    for key, value in known[name].items():
        where = f"profiles.{name}.{key}"
        place = places.get(where, places[""])
        with mistakes.collected():
            data = assign_leaves(data, split_key(key, place), value, places, place)
    mistakes.report()
    return {**data, "name": f"{data.get('name', '')}-{name}"}
