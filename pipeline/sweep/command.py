"""The command: python -m pipeline.sweep FILE. From a sweep file to finished cells in a store."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pipeline.cli import exit_code, graceful_shutdown, install_signal_handlers
from pipeline.cli import options as shared
from pipeline.sweep.arguments import parser

if TYPE_CHECKING:
    from pipeline.spec import Cell, Sweep
    from pipeline.store import CellStates, Store
    from pipeline.sweep.budget import Limits
    from pipeline.sweep.forecast.durations import Estimate
    from pipeline.sweep.lease import Lease
    from pipeline.sweep.on_ray.remote_budget import RemoteBudget
    from pipeline.sweep.shard import Shard

_BUDGET_USED = 3
"""Exit code of a run that has left cells to a later one, since its budget was used up."""


def main(arguments: list[str] | None = None) -> int:
    """Run a sweep; returns the exit code."""
    options = parser().parse_args(arguments)
    words = sys.argv[1:] if arguments is None else arguments
    interrupted = "finished cells are kept; run the same command again to go on"
    return exit_code(lambda: _read_and_do(options, words), interrupted)


def _read_and_do(options: argparse.Namespace, words: Sequence[str]) -> int:
    from pipeline.spec import read_sweep

    if options.sync and (study := _study(options)):
        return _sync(study, options)
    sweep = read_sweep(options.file, options.set, options.profile)
    if options.cluster:
        if options.shard:
            raise ValueError("--shard is for many drivers; --cluster has one")
        return _run_on_cluster(sweep, options, words)
    options.storage = shared.storage_location(options.storage)
    with graceful_shutdown():
        return _do(sweep, options)


def _do(sweep: Sweep, options: argparse.Namespace) -> int:
    """What the options ask for: to look at a sweep, to mirror it, or to run it."""
    from pipeline.spec import plan
    from pipeline.store import Store, plan_id
    from pipeline.sweep import status as triage
    from pipeline.sweep.forecast.dry_run import show_preview

    store, repeat = Store(options.storage), triage.CommandOptions(options.storage, options.set)
    part = sweep if options.shard is None else _shard_of(sweep, options.shard)
    if options.status:
        triage.show_status(part, store)
    elif options.failures:
        triage.show_failures(part, store, repeat)
    elif options.dry_run:
        again = options.retry_failed, options.rerun_changed
        show_preview(part, store, *again, options.limit, options.concurrency, options.price)
    elif options.sync:
        own = plan(sweep)
        if plan_id(own) not in store.plan_ids(sweep.name):  # a plan has the time of its run
            store.write_plan(own, options.set)
        return _sync(sweep, options)
    elif options.stop:
        triage.ask_to_stop(sweep, store, options.shard)
    else:
        chosen, why_over = _run(sweep, part, store, options)
        code = triage.print_summary(part, store, [] if why_over else chosen, repeat)
        if why_over and (left := len(triage.by_state(part.cells, store.cell_states())["missing"])):
            print(f"{why_over}; {left} cells are left to the same command", file=sys.stderr)
            return _BUDGET_USED
        return code
    return 0


def _shard_of(sweep: Sweep, shard: Shard) -> Sweep:
    return replace(sweep, cells=shard.cells_of(sweep.cells))


def _run_on_cluster(sweep: Sweep, options: argparse.Namespace, words: Sequence[str]) -> int:
    """Run a sweep on another cluster, with what else the command says, or stop it there."""
    from pipeline.cluster import run_on_cluster
    from pipeline.sweep.forecast.dry_run import refuse_unbuildable

    if any((options.status, options.failures, options.dry_run, options.sync)):
        raise ValueError("--cluster runs a sweep; to look at its results give their --storage")
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument("--cluster")
    own.add_argument("--stop", action="store_true")
    others = own.parse_known_args(words)[1]
    others.remove(options.file)
    if not options.stop:  # a cluster costs money
        refuse_unbuildable(sweep, sweep.cells)
    return run_on_cluster(sweep, options.cluster, others, stop=options.stop)


def _run(
    sweep: Sweep, part: Sweep, store: Store, options: argparse.Namespace
) -> tuple[list[Cell], str]:
    """Run what is to be run of a sweep's part; gives those cells, and why it ended early."""
    from pipeline.spec import plan
    from pipeline.sweep.lease import Lease
    from pipeline.sweep.on_ray.node_check import refuse_memory
    from pipeline.sweep.status import to_run
    from pipeline.tracking import sync as mirroring
    from pipeline.tracking.uri import tracking_uri
    from pipeline.training.local_notes import clear_notes
    from pipeline.trial.data_check import data_lines

    refuse_memory(store)
    tracking = tracking_uri(options.tracking, options.storage)
    for line in (*sweep.notes, *data_lines(part.cells)):
        print(line, file=sys.stderr)
    lease, why_over = Lease(store, sweep.name, options.shard), ""
    with ExitStack() as ends:
        ends.callback(clear_notes, lease.id)
        ends.enter_context(lease.acquire())
        plan_id = store.write_plan(plan(sweep), options.set)
        standing = store.cell_states()
        again = options.retry_failed, options.rerun_changed
        chosen = to_run(part.cells, store, standing, *again)[: options.limit]
        if chosen:
            why_over = _run_cells(part, plan_id, chosen, standing, store, tracking, lease, options)
        elif tracking:
            mirroring.mirror_missing(sweep, store, tracking)
    return chosen, why_over


def _run_cells(
    sweep: Sweep,
    plan_id: str,
    chosen: list[Cell],
    standing: CellStates,
    store: Store,
    tracking: str | None,
    lease: Lease,
    options: argparse.Namespace,
) -> str:
    """Run cells; gives why the budget ended that early, or empty.

    Raises:
        KeyboardInterrupt: if it was asked to end early.
    """
    from pipeline.catalog import own_parts
    from pipeline.sweep.budget import Limits
    from pipeline.sweep.forecast.durations import estimate, longest_first
    from pipeline.sweep.on_ray import ray_cluster, slots, tune
    from pipeline.sweep.on_ray.node_check import refuse_unseen
    from pipeline.sweep.progress import Progress
    from pipeline.sweep.stop import Stop, request_in_store
    from pipeline.tracking.worker import mirror_subprocess
    from pipeline.training import live_note
    from pipeline.trial.data_check import refuse_absent

    if not ray_cluster.joins_a_cluster():  # then cells see this machine's files alone
        refuse_absent(chosen)
    again = {cell.cell_id for cell in chosen}
    done = sum(cell.cell_id in standing.finished - again for cell in sweep.cells)
    print(f"{sweep.name}: {len(chosen)} cells to run, {done} done", file=sys.stderr)
    expected = estimate(sweep.cells, store, standing.finished)
    with (
        mirror_subprocess((sweep.name, plan_id), store, tracking) as mirror,
        ray_cluster.joined(),
    ):
        install_signal_handlers()
        count = slots.max_concurrent_cells(chosen, sweep.resources, options.concurrency)
        if note := slots.sharing(chosen, sweep.resources):
            print(note, file=sys.stderr)
        lease.verify_owner()
        refuse_unseen(store, lease.key, lease.id)
        for cell_id in again & (standing.finished | standing.failed | standing.lost):
            store.clear_outcome(cell_id, keep_lost=not options.retry_failed)
        limits = Limits(options.max_hours, options.max_gpu_hours)
        budget = _budget(limits, chosen, sweep, expected, lease) if limits else None
        asked = request_in_store(store, lease.key, lease.id)
        stop = Stop(lease.id, lambda: lease.taken_over() or asked(), budget)
        parts, where = own_parts.snapshot(), (lease.key, store.uri)
        job = tune.Job(*where, sweep.resources, lease.id, parts, bool(limits))
        how_far = partial(live_note.read, lease.id)
        with (
            stop.watching(),
            Progress(chosen, done, count, expected=expected, how_far=how_far) as progress,
        ):
            events = tune.Events(
                [progress.started, stop.started],
                [progress.ended, mirror.ended, stop.ended],
                stop.is_over,
            )
            tune.run(longest_first(chosen, expected), job, count, events)
        if stop.reason and not stop.is_by_budget:
            raise KeyboardInterrupt
        mirror.complete()
        return stop.reason or ("" if budget is None else budget.cause())


def _budget(
    limits: Limits, cells: list[Cell], sweep: Sweep, expected: Estimate, lease: Lease
) -> RemoteBudget:
    """Start the budget of a run.

    Raises:
        ValueError: if GPU-hours are limited and no cell uses a GPU.
    """
    from pipeline.sweep.budget import Need
    from pipeline.sweep.on_ray.remote_budget import RemoteBudget
    from pipeline.sweep.on_ray.slots import gpu_shares

    shares = gpu_shares(cells, sweep.resources)
    if limits.gpu_hours < math.inf and not any(shares.values()):
        raise ValueError("--max-gpu-hours: no cell uses a GPU here; give --max-hours")
    needs = {
        cell.cell_id: Need(
            cell.labels["architecture"], shares[cell.cell_id], expected.seconds(cell)
        )
        for cell in cells
    }
    return RemoteBudget(lease.id, limits, needs)


def _study(options: argparse.Namespace) -> Sweep | None:
    """The study of that name which `normscope.Monitor` made: there is no sweep file of it."""
    from pipeline.store import Store
    from pipeline.tracking.worker import planned

    options.storage = shared.storage_location(options.storage)
    store = Store(options.storage)
    if options.file not in store.plans() or not store.plan(options.file).get("own_loop"):
        return None
    shown = store.plans_of(options.file, store.finished())[0]
    return planned(store, options.file, shown.plan_id)


def _sync(sweep: Sweep, options: argparse.Namespace) -> int:
    from pipeline.store import Store
    from pipeline.tracking import sync as mirroring
    from pipeline.tracking.uri import tracking_uri

    store = Store(options.storage)
    uri = tracking_uri(options.tracking, options.storage)
    if uri is None:
        raise ValueError("--sync: tracking is none; say where MLflow is with --tracking")
    print(f"{sweep.name}: {mirroring.sync(sweep, store, uri)}")
    return 0
