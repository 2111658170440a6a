"""What became of a sweep's cells: how many, which failed of what, and how to see one fail."""

from __future__ import annotations

import re
import shlex
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.cli import redact
from pipeline.spec import Cell, Sweep
from pipeline.store import CellStates, Store
from pipeline.sweep.changed_code import changed_code, damage, show_changed_code
from pipeline.sweep.lease import describe
from pipeline.sweep.progress import title
from pipeline.sweep.shard import Shard, lease_key
from pipeline.trial.data_check import data_lines

STATES = {
    "done": "have a result",
    "missing": "will run",
    "lost": "lost their machine; run again, in three runs at most",
    "failed": "raised an error, or hung; --failures says why, --retry-failed runs them again",
}
"""What is said of each state."""
LOST_AT_MOST = 3
"""Runs that may lose a cell before it is left alone: then it is hardly the machine's fault."""
_EXAMPLES = 3
"""Cells named of each cause."""


@dataclass(frozen=True)
class CommandOptions:
    """How the present command names its cells: the options that another command needs too."""

    storage: str
    overrides: Sequence[str]


def by_state(cells: Sequence[Cell], standing: CellStates) -> dict[str, list[Cell]]:
    """The cells by state, each in the sweep's order."""
    found: dict[str, list[Cell]] = {state: [] for state in STATES}
    for cell in cells:
        found[_state(cell.cell_id, standing)].append(cell)
    return found


def _state(cell_id: str, standing: CellStates) -> str:
    if cell_id in standing.finished:
        return "done"
    if cell_id in standing.failed:
        return "failed"
    return "lost" if cell_id in standing.lost else "missing"


def to_run(
    cells: Sequence[Cell],
    store: Store,
    standing: CellStates,
    retry_failed: bool,
    rerun_changed: bool = False,
) -> list[Cell]:
    """Cells without a result, in the sweep's order.

    Failed ones only if asked for: they would fail again. So are those that were lost too often,
    those that their time limit cut short, and those that other code has made: this run would
    replace their result.
    """
    changed = changed_code(cells, store, standing.finished) if rerun_changed else {}
    wanted = {"missing", "lost", "failed"} if retry_failed else {"missing", "lost"}

    def is_wanted(cell: Cell) -> bool:
        state = _state(cell.cell_id, standing)
        cut = (
            state == "done"
            and retry_failed
            and store.result(cell.cell_id)["status"] == "time_limit"
        )
        if state == "lost" and not retry_failed:
            return store.times_lost(cell.cell_id) < LOST_AT_MOST
        return cut or state in wanted or cell.cell_id in changed

    return [cell for cell in cells if is_wanted(cell)]


def show_status(sweep: Sweep, store: Store) -> None:
    """Print how many cells are in which state, in all and by architecture, and who is at work."""
    standing = store.cell_states()
    found = by_state(sweep.cells, standing)
    print(f"{sweep.name}: {len(sweep.cells)} cells, in {redact(store.uri)}")
    for state, meaning in STATES.items():
        print(f"  {len(found[state]):>7}  {state:<8} {meaning}")
    for line in data_lines(sweep.cells):
        print(f"  {line}")
    architectures = dict.fromkeys(cell.labels["architecture"] for cell in sweep.cells)
    if len(architectures) > 1:
        for name in architectures:
            counts = {s: sum(c.labels["architecture"] == name for c in found[s]) for s in STATES}
            print(f"  {name}: " + ", ".join(f"{n} {s}" for s, n in counts.items() if n))
    show_changed_code(sweep.cells, changed_code(sweep.cells, store, standing.finished))
    shards = [key for key in store.lease_keys(sweep.name) if key != sweep.name]
    whole = store.lease(sweep.name)
    if whole is not None or not shards:
        print(describe(whole))
    for key in shards:
        print(f"{key}: {describe(store.lease(key))}")


def ask_to_stop(sweep: Sweep, store: Store, shard: Shard | None) -> None:
    """Ask the drivers of a sweep, or of one shard, to end by checkpoints; says which."""
    keys = store.lease_keys(sweep.name) if shard is None else [lease_key(sweep.name, shard)]
    leases = {key: lease for key in keys if (lease := store.lease(key)) is not None}
    for key, lease in leases.items():
        store.write_stop(key, lease["id"])
        print(f"{key}: process {lease['pid']} on {lease['host']} is asked to stop")
    if not leases:
        print(f"{sweep.name}: nobody is running it now")


def show_failures(sweep: Sweep, store: Store, repeat: CommandOptions) -> None:
    """Print failed and lost cells by cause, the most frequent first, and how to see one fail."""
    found = by_state(sweep.cells, store.cell_states())
    errors = {cell.cell_id: store.failure(cell.cell_id)["error"] for cell in found["failed"]}
    errors |= {cell.cell_id: store.read_lost(cell.cell_id)["error"] for cell in found["lost"]}
    if not errors:
        print(f"{sweep.name}: no cell has failed")
    for state in ("failed", "lost"):
        for cells in by_cause(found[state], errors):
            print(f"{len(cells)} {state}: {errors[cells[0].cell_id]}")
            for cell in cells[:_EXAMPLES]:
                log = store.read_side_file(cell.cell_id, "log.txt") is not None
                place = f"  (log: {redact(store.uri)}/cells/{cell.cell_id}/log.txt)" if log else ""
                print(f"  {cell.cell_id}  {title(cell.labels)}{place}")
            if len(cells) > _EXAMPLES:
                print(f"  … and {len(cells) - _EXAMPLES} more")
            print(f"  see it: {reproduction(sweep, cells[0], repeat)}")


def by_cause(cells: Sequence[Cell], errors: Mapping[str, str]) -> list[list[Cell]]:
    """Group cells whose errors differ in numbers alone; the largest group first."""
    groups: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[re.sub(r"0x[0-9a-f]+|\d+", "#", errors[cell.cell_id])].append(cell)
    return sorted(groups.values(), key=len, reverse=True)


def reproduction(sweep: Sweep, cell: Cell, repeat: CommandOptions) -> str:
    """The command that runs one cell by itself, in sight."""
    words = ["python", "-m", "pipeline.trial", str(sweep.path), "--cell", cell.cell_id]
    words += ["--profile", sweep.profile] if sweep.profile else []
    words += [word for override in repeat.overrides for word in ("--set", override)]
    return shlex.join([*words, "--storage", repeat.storage])


def print_summary(
    sweep: Sweep, store: Store, chosen: Sequence[Cell], repeat: CommandOptions
) -> int:
    """Say what there is now, failures by cause; gives the exit code."""
    standing = store.cell_states()
    found = by_state(sweep.cells, standing)
    done, whole = len(found["done"]), len(sweep.cells)
    print(f"{sweep.name}: {done} of {whole} cells done, in {redact(store.uri)}")
    wanted = {cell.cell_id for cell in chosen} - standing.finished
    for state, report in (("failed", store.failure), ("lost", store.read_lost)):
        errors = {cell.cell_id: report(cell.cell_id)["error"] for cell in found[state]}
        for cells in by_cause(found[state], errors):
            print(f"{len(cells)} {state}: {errors[cells[0].cell_id]}", file=sys.stderr)
            print(f"  see it: {reproduction(sweep, cells[0], repeat)}", file=sys.stderr)
        wanted -= set(errors)
    if found["failed"]:
        print("failed cells are not run again unless --retry-failed says so", file=sys.stderr)
    given_up = sum(store.times_lost(c.cell_id) >= LOST_AT_MOST for c in found["lost"])
    if given_up:
        print(
            f"{given_up} lost in {LOST_AT_MOST} runs: not run again unless --retry-failed says so",
            file=sys.stderr,
        )
    if wanted:
        problem = f"{len(wanted)} cells ended without a result or an error message"
        print(f"{problem}; run the command again", file=sys.stderr)
    damaged = damage(sweep.cells, store, standing.finished)
    for line in damaged:
        print(line, file=sys.stderr)
    return 1 if found["failed"] or found["lost"] or wanted or damaged else 0
