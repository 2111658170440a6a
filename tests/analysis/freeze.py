"""The frozen store and its golden report: python -m tests.analysis.freeze writes both anew.

Do so only where the store's format, or what the report says, was meant to change; the difference
then shows what did.
"""

from __future__ import annotations

import io
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.report.command import main
from tests.helpers.stores.synthetic import write_store

GOLDEN = Path(__file__).parent / "golden"
STORE, EXPECTED = GOLDEN / "store", GOLDEN / "expected"

_DIGITS = 9
"""Significant digits kept: the last bits of log and exp differ between machines."""


def report(store: Path) -> dict[str, bytes]:
    """The report's tables as CSV and its results.json, floats to nine digits, by file name."""
    with tempfile.TemporaryDirectory() as folder:
        if main(["--storage", str(store), "--tracking", "none", "--out", folder]):
            raise RuntimeError("no report of the frozen store")
        tables = sorted(Path(folder).glob("tables/*.csv"))
        files = {f"tables/{path.name}": _rounded_csv(path) for path in tables}
        results = json.loads((Path(folder) / "results.json").read_bytes(), parse_float=_rounded)
    text = json.dumps(results, indent=1, ensure_ascii=False, sort_keys=True)
    return {**files, "results.json": f"{text}\n".encode()}


def _rounded(text: str) -> float:
    return float(f"{float(text):.{_DIGITS}g}")


def _rounded_csv(path: Path) -> bytes:
    frame = pd.read_csv(io.BytesIO(path.read_bytes()), keep_default_na=False, na_values=[""])
    options: dict[str, Any] = {"index": False, "lineterminator": "\n"}
    return frame.to_csv(None, float_format=f"%.{_DIGITS}g", **options).encode()


def freeze() -> None:
    """Write the store of four cells, one of which diverged, and its report."""
    shutil.rmtree(GOLDEN, ignore_errors=True)
    write_store(
        STORE,
        architectures=["vgg11(width=0.25)"],
        normalizers=["none", "batch"],
        lrs=[0.1],
        seeds=[0, 1],
        steps=20,
        diverge=[("none", 0.1, 1)],
        tables=["training", "gradient_ics", "landscape", "batchnorm_theorems"],
        sweep="golden",
    )
    for name, content in report(STORE).items():
        path = EXPECTED / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


if __name__ == "__main__":
    freeze()
