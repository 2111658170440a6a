"""The store, or MLflow, becomes tidy frames: a `Study`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from analysis.load.reader import Reader
from analysis.study import LABELS, Study
from pipeline.store import Store

__all__ = ["LABELS", "Study", "load", "opened"]


def load(
    storage: str | os.PathLike[str] | None = None,
    *names: str,
    tracking: str | None = None,
    sweeps: Sequence[str] = (),
    strict: bool = False,
    records: bool = True,
    cache: Path | None = None,
    processes: int = 1,
    plans: Sequence[str] = (),
    tracking_store: str | None = None,
) -> Study:
    """Read the sweeps' plans and finished cells from a store, or from MLflow alone.

    Args:
        storage: folder or URI of a store. tracking: MLflow URI; give one of the two.
        names, sweeps: names of sweeps, as one list; none = all that the store plans.
        strict: raise at a damaged file instead of listing it in ``problems``; reads every file.
        records: hold all rows of the record tables; without them memory is that of the reductions
            (`Study.reduced`), about 20 kB a cell.
        cache: folder of reductions made earlier; used, and added to, where ``records`` is false.
        processes: how many read where ``records`` is false.
        plans: ids of the plans to show of sweeps that have several, or how they begin; else of each
            the one with the most finished cells (`pipeline.store.plans.best_first`).
        tracking_store: id of the store whose runs to read where several have tracked a sweep.

    Raises:
        ValueError: for a sweep that is not there, and for damaged files if ``strict``.
    """
    wanted = [*names, *sweeps]
    with opened(storage, tracking, wanted, tracking_store) as store:
        how: Any = {"records": records, "cache": cache, "processes": processes, "plans": plans}
        reader = Reader(store, strict=strict, **how)
        return reader.study(reader.find(wanted))


@contextmanager
def opened(
    storage: str | os.PathLike[str] | None,
    tracking: str | None = None,
    sweeps: Sequence[str] = (),
    tracking_store: str | None = None,
) -> Iterator[Store]:
    """The store, or one made of what MLflow has, which is there as long as this is."""
    if (storage is None) == (tracking is None):
        raise ValueError("give either a storage or a tracking URI")
    if tracking is None:
        yield Store(str(storage))
        return
    from pipeline.tracking.client import download

    with tempfile.TemporaryDirectory() as folder:
        download(tracking, sweeps, folder, tracking_store)
        yield Store(folder)
