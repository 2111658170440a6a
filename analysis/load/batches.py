"""Cells' records read in batches, each reduced at once: memory is that of a batch."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pandas as pd
import pyarrow as pa

from analysis.load import cache_file, result_row
from analysis.load.cache import Cache
from analysis.load.progress import with_progress
from analysis.reductions import summaries
from analysis.study import concat
from pipeline.store import Store, StoreError

BATCH = 128
"""Cells reduced at once: enough that a frame's overhead is small, few enough to be held."""

Found = tuple[bytes, list[str], list[str]]
"""A batch's shard, the damaged cells, and what is wrong with them."""
Tables = dict[str, dict[str, pa.Table]]


@dataclass
class Reading:
    """What was read of the cells' records.

    Attributes:
        parts: reductions. damaged: cells that cannot be read. problems: why.
        whole: by cell its record tables, if these were asked for.
    """

    parts: list[cache_file.Part] = field(default_factory=list)
    damaged: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    whole: Tables = field(default_factory=dict)

    def reduced(self, cells: Sequence[str]) -> Iterator[tuple[str, pd.DataFrame]]:
        """The reductions by name, in the order of the cells, each decoded when its turn comes."""
        names = {name for part in self.parts for name in part.names}
        # The training curves come first: they are the most rows, and little else is held yet.
        for name in sorted(names, reverse=True):
            own = [part.table(name) for part in self.parts if name in part.names]
            yield name, cache_file.joined(own, cells)


def read(
    store: Store, results: Mapping[str, dict[str, Any]], cache: Cache, processes: int
) -> Reading:
    """Reduce the cells, but for those that the cache has.

    Args:
        results: by cell, of its result: ``row`` (of `cells.row`), ``cell_id`` and ``records``.
        processes: how many read; one: this one. Cost: every record file is read once.
    """
    parts, kept = cache.take({cell: found["row"]["digest"] for cell, found in results.items()})
    reading = Reading(parts=parts)
    batches = _batches([found for cell, found in sorted(results.items()) if cell not in kept])
    found = _each(partial(_batch, store.uri), batches, processes)
    for data, damaged, problems in with_progress("reading", found, len(batches)):
        if (part := cache_file.Part(data)).cells:
            cache.keep(data)
            reading.parts.append(part)
        reading.damaged |= set(damaged)
        reading.problems += problems
    if not reading.parts:  # no cell has finished: empty frames
        reading.parts.append(cache_file.Part(_reduced([], {})))
    return reading


def read_whole(store: Store, results: Mapping[str, dict[str, Any]]) -> Reading:
    """Read the cells' whole tables, and reduce them."""
    own = [found for _, found in sorted(results.items())]
    tables, damaged, problems = _tables(store, own)
    data = _reduced([found for found in own if found["cell_id"] in tables], tables)
    return Reading([cache_file.Part(data)], set(damaged), problems, tables)


def _batches(results: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    return [results[i : i + BATCH] for i in range(0, len(results), BATCH)]


def _each(task: Any, batches: Sequence[list[dict[str, Any]]], processes: int) -> Iterator[Found]:
    """The batches' reductions, in order."""
    with ExitStack() as stack:
        run: Any = map
        if processes > 1 and len(batches) > processes:
            start = multiprocessing.get_context("spawn")
            pool = ProcessPoolExecutor(processes, mp_context=start)
            run = stack.enter_context(pool).map
        yield from run(task, batches)


def _batch(uri: str, results: list[dict[str, Any]]) -> Found:
    tables, damaged, problems = _tables(Store(uri), results)
    data = _reduced([found for found in results if found["cell_id"] in tables], tables)
    return data, damaged, problems


def _tables(store: Store, results: list[dict[str, Any]]) -> tuple[Tables, list[str], list[str]]:
    """By cell its record tables; the damaged cells, and what is wrong with them."""

    def tables(found: dict[str, Any]) -> dict[str, pa.Table] | str:
        try:
            return result_row.tables(store, found)
        except (StoreError, OSError, pa.ArrowException) as error:
            return str(error)

    with ThreadPoolExecutor() as pool:  # reading waits for the disk or the network
        read = dict(zip((r["cell_id"] for r in results), pool.map(tables, results), strict=True))
    wrong = {cell: error for cell, error in read.items() if isinstance(error, str)}
    known = {cell: own for cell, own in read.items() if not isinstance(own, str)}
    return known, list(wrong), list(wrong.values())


def _reduced(results: list[dict[str, Any]], tables: Tables) -> bytes:
    """A shard of these cells."""
    names = [found["cell_id"] for found in results]
    runs = concat.runs([found["row"] for found in results])
    frames = summaries.reduce_records(summaries.smoothed(concat.records(names, tables), runs), runs)
    return cache_file.encode(
        {found["cell_id"]: found["row"]["digest"] for found in results}, frames
    )
