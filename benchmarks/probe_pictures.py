"""The pictures of docs/probes.md, from a real run: python -m benchmarks.probe_pictures.

It runs sweeps/probes.yaml (what is finished is not run again) and draws a PNG a probe.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd

from analysis.figures import style
from benchmarks._pictures import PICTURES, Frames, Panel
from pipeline.store.store import Store
from pipeline.sweep import command as sweep

SWEEP = "sweeps/probes.yaml"
FOLDER = Path("docs/pictures/probes")


def main(arguments: list[str] | None = None) -> int:
    """Run the sweep and draw."""
    options = _parser().parse_args(arguments)
    status = sweep.main([SWEEP, "--storage", options.storage])
    if status:
        return status
    frames = read(Store(options.storage))
    Path(options.folder).mkdir(parents=True, exist_ok=True)
    matplotlib.use("agg")
    for name, panels in PICTURES.items():
        draw(frames, name, panels, Path(options.folder) / f"{name}.png")
    return 0


def read(store: Store) -> Frames:
    """Every probe's records of all cells, with their normalizers."""
    found: dict[str, list[pd.DataFrame]] = {name: [] for name in PICTURES}
    for cell_id in store.plan("probes")["cells"]:
        result = store.result(cell_id)
        for name, frames in found.items():
            table = store.records(result, name)
            if table is not None:
                frames.append(table.to_pandas().assign(normalizer=result["labels"]["normalizer"]))
    return {name: pd.concat(frames, ignore_index=True) for name, frames in found.items()}


def draw(frames: Frames, name: str, panels: tuple[Panel, Panel], file: Path) -> None:
    """Write one probe's picture."""
    from matplotlib import pyplot

    rc: Any = style.RC
    looks = style.looks(sorted(set(frames["gradient_ics"]["normalizer"])))
    with pyplot.rc_context(rc):
        figure, axes = pyplot.subplots(1, 2, figsize=(6.4, 2.3), layout="constrained")
        for panel, axis in zip(panels, axes, strict=True):
            panel.draw(axis, frames[name], looks)
        handles, labels = axes[0].get_legend_handles_labels()
        if axes[0].get_legend() is None:
            figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
        figure.savefig(file, dpi=100, metadata={"Software": None})
        pyplot.close(figure)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.probe_pictures",
        description="Run sweeps/probes.yaml and draw a picture for each probe.",
    )
    parser.add_argument("--storage", default="results", help="store: a folder or URI (results)")
    parser.add_argument("--folder", default=FOLDER, help=f"where to draw ({FOLDER})")
    return parser


if __name__ == "__main__":
    sys.exit(main())
