"""A study becomes a folder: the page, its tables and figures, and what they were made from."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

from analysis import answers, figures
from analysis.comparison import against
from analysis.load import versions, with_progress
from analysis.render import MANIFEST, html, latex, markdown, table_files
from analysis.render.page import Compared, Health, Page, Shown, compose
from analysis.render.save_figure import FILES, draw_all
from analysis.render.table_layout import sheet
from analysis.study import Study
from analysis.tables import tables, with_variants
from analysis.text import labels_of


def write(
    study: Study,
    folder: Path,
    *,
    seed: int,
    command: str,
    other: Study | None = None,
    jobs: int = 1,
) -> None:
    """Write the report of a study, and remove what an earlier report wrote there and this does not.

    Same study and seed, same bytes in every file.

    Args:
        study: what to report.
        folder: where to; made if need be.
        seed: of bootstraps and random tests.
        command: what the manifest says made it.
        other: a study to compare it with.
        jobs: processes that draw; more than one only where this process has no threads.
    """
    earlier = _earlier(folder)
    digests = {}
    for name, content in _files(study, seed, other, jobs):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        digests[name] = hashlib.sha256(content).hexdigest()
    for name in earlier - set(digests):
        (folder / name).unlink(missing_ok=True)
    manifest = _manifest(study, seed, command, digests)
    if other is not None:
        manifest["against"] = {"sweeps": other.sweeps, "runs": _runs(other)}
    (folder / MANIFEST).write_bytes(table_files.as_json(manifest))


def _earlier(folder: Path) -> set[str]:
    """Files of an earlier report in the folder, by its manifest; only such that a report writes."""
    try:
        names = json.loads((folder / MANIFEST).read_bytes())["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return {name for name in names if Path(name).parent.as_posix() in ("tables", "figures")}


def _files(study: Study, seed: int, other: Study | None, jobs: int) -> Iterator[tuple[str, bytes]]:
    """The report's files one by one, so that one figure at a time is in memory."""
    basis = tables.TableInputs(study, seed)
    made = tables.build_tables(basis)
    short, whole = labels_of(study), with_variants(basis, made)
    sheets = [sheet(table, short) for table in whole]
    found = against(study, other, seed) if other is not None else None
    compared = Compared(against=found, sheet=sheet(found.table, short)) if found else None
    for table in [*whole, *([found.table] if found else [])]:
        yield from _table_files(table, short)
    yield "tables/codebook.csv", table_files.codebook([*whole, *([found.table] if found else [])])
    shown, drawings = [], figures.build(basis, made)
    drawn = draw_all([(figure.draw, figure.name) for figure in drawings], jobs)
    for figure, images in zip(
        drawings, with_progress("drawing", drawn, len(drawings)), strict=True
    ):
        for kind, content in images.items():
            yield _place(figure.name, kind), content
        shown.append(_shown(figure, images))
    answered = answers.build(basis, made, [figure.name for figure in drawings])
    health = Health(tables.health(study), tables.totals(study), len(basis.study.runs))
    page = compose(study, health, whole, sheets, answered, shown, compared)
    yield "results.json", table_files.as_json(_results(page, shown))
    yield "report.md", markdown.page(page).encode()
    yield "report.html", html.page(page).encode()


def _table_files(table: tables.Table, short: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    stem, laid_out = f"tables/{table.name}", sheet(table, short)
    yield f"{stem}.csv", table_files.csv(table)
    yield f"{stem}.parquet", table_files.parquet(table)
    yield f"{stem}.md", markdown.table(laid_out).encode()
    yield f"{stem}.tex", latex.table(laid_out).encode()
    if len(laid_out.blocks) > 1:
        yield f"{stem}_by_block.md", markdown.by_block(laid_out).encode()


def _place(name: str, kind: str) -> str:
    """``figures/NAME.svg`` of ``svg``; ``figures/NAME_column.pdf`` of ``column.pdf``."""
    width, dot, extension = kind.rpartition(".")
    return f"figures/{name}{f'_{width}' if dot else ''}.{extension}"


def _shown(figure: figures.Figure, images: Mapping[str, bytes]) -> Shown:
    return Shown(
        name=figure.name,
        title=figure.title,
        caption=figure.legend,
        numbers=figure.numbers,
        file=_place(figure.name, "svg"),
        files=tuple((FILES[kind], _place(figure.name, kind)) for kind in images),
        svg=images["svg"].decode(),
    )


def _results(page: Page, shown: list[Shown]) -> dict[str, Any]:
    prose = {
        number.key: {"value": _known(number.value), "printed": number.text}
        for number in page.numbers().values()
    }
    captions = {
        f"figures/{figure.name}/{name}": {"value": value, "printed": str(value)}
        for figure in shown
        for name, value in figure.numbers.items()
    }
    return {**prose, **captions}


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _manifest(study: Study, seed: int, command: str, digests: dict[str, str]) -> dict[str, Any]:
    return {
        "schema": 1,
        "command": command,
        "seed": seed,
        "sweeps": study.sweeps,
        "analysis": versions(),
        "provenance": study.provenance,
        "runs": _runs(study),
        "files": digests,
    }


def _runs(study: Study) -> list[dict[Hashable, Any]]:
    return study.runs[["cell_id", "status", "digest"]].to_dict("records")
