"""A study in one file: all that a report reads of its cells, without the stores' raw records.

A ZIP archive of Parquet tables, and ``study.json`` with the rest: the cells' settings, provenance,
and a digest of every table and of itself. A few kilobytes a cell, so that results can lie beside a
paper or in a repository, and anybody makes the same report of them.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from analysis.study import Study
from pipeline.store import is_altered, sealed, write_atomic

LAYOUT = 1
_FACTS = "study.json"
_PLAIN = ("sweeps", "problems", "provenance", "settings", "cells", "trainings", "notes")
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every member: the same study gives the same bytes."""
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError),
    *(ValueError, KeyError, TypeError, AttributeError, OverflowError, struct.error),
)
"""What zipfile and json raise where bytes of a file were changed."""


def write_study(study: Study, path: Path) -> None:
    """Write the study without its records (`Study.records`); the same study, the same bytes.

    Raises:
        OSError: if the disk refuses it.
    """
    frames = {"planned": study.planned, "runs": study.runs}
    frames |= {f"reduced/{name}": frame for name, frame in study.reduced.items()}
    tables = {f"{name}.parquet": _parquet(frame) for name, frame in sorted(frames.items())}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in tables.items()}
    plain = {name: getattr(study, name) for name in _PLAIN}
    facts = sealed({"layout": LAYOUT, "tables": digests, **plain})
    members = {_FACTS: json.dumps(facts, indent=1, sort_keys=True).encode() + b"\n", **tables}
    write_atomic(str(path.absolute()), _zip(members))


def read_study(path: Path) -> Study:
    """The study that a file holds.

    Raises:
        ValueError: if it is no such file, a damaged one, or of another version of normscope.
    """
    members, facts, layout = _opened(path)
    if layout != LAYOUT:
        raise ValueError(
            f"{path}: layout {layout} of a study file; this version of normscope reads "
            f"layout {LAYOUT}: use the version that made it"
        )
    if not _is_as_written(facts, members):
        raise _damaged(path)
    tables = {name.removesuffix(".parquet"): _frame(members[name]) for name in facts["tables"]}
    planned, runs = tables.pop("planned"), tables.pop("runs")
    reduced = {name.removeprefix("reduced/"): frame for name, frame in tables.items()}
    plain = {name: facts[name] for name in _PLAIN}
    return Study(planned=planned, runs=runs, records={}, reduced=reduced, **plain)


def _opened(path: Path) -> tuple[dict[str, bytes], Mapping[str, Any], Any]:
    """The members of the archive, the facts among them, and the layout among those."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    try:
        members = _unzip(content)
        facts = json.loads(members[_FACTS])
        return members, facts, facts["layout"]
    except _BROKEN as error:
        raise _damaged(path) from error


def _is_as_written(facts: Mapping[str, Any], members: Mapping[str, bytes]) -> bool:
    """Whether every digest is that of its table, and the facts' own that of the facts."""
    digests = {
        name: hashlib.sha256(content).hexdigest()
        for name, content in members.items()
        if name != _FACTS
    }
    return not is_altered(facts) and digests == facts.get("tables")


def _damaged(path: Path) -> ValueError:
    return ValueError(
        f"{path}: damaged, or not a study file; python -m analysis.report SWEEP --save FILE "
        "writes one"
    )


def _parquet(frame: pd.DataFrame) -> bytes:
    target = io.BytesIO()
    table = pa.Table.from_pandas(frame)
    pyarrow.parquet.write_table(table, target, compression="zstd", compression_level=9)
    return target.getvalue()


def _frame(content: bytes) -> pd.DataFrame:
    return pyarrow.parquet.read_table(io.BytesIO(content)).to_pandas()


def _zip(members: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def _unzip(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
