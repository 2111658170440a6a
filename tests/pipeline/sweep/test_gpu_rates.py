"""GPU-hours in --dry-run: measured ones with their source, and nothing invented."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.catalog.validation import validate
from pipeline.spec.expand import expand
from pipeline.spec.read import Cell
from pipeline.spec.schema import SweepFile
from pipeline.sweep.command import main
from pipeline.sweep.forecast import dry_run
from pipeline.sweep.forecast.gpu_rates import any_measured, describe_gpu_hours, steps_per_second


def cells_of(architectures: list[Any], data: str = "cifar10", **training: Any) -> list[Cell]:
    content = {
        "name": "rates",
        "base": {"data": data, "normalizer": "batch", "training": {"steps": 7200, **training}},
        "grid": {"architecture": architectures},
    }
    return expand(validate(SweepFile, content, "")).cells


@pytest.mark.parametrize(
    ("architecture", "changes", "found"),
    [
        ("vgg16", {}, ("ours", 80)),
        ("resnet56", {}, ("ours", 34)),
        ("resnet20", {"precision": "tf32"}, ("bare loop as one CUDA graph", 390)),
        ("densenet40", {}, None),
        ({"name": "vgg16", "width": 0.5}, {}, None),
        ("vgg16", {"batch_size": 64}, None),
        ("vgg16", {"data": "digits"}, None),
    ],
)
def test_a_rate_is_that_of_such_a_cell_or_unknown(
    architecture: Any, changes: dict[str, Any], found: tuple[str, float] | None
) -> None:
    (cell,) = cells_of([architecture], **changes)
    assert steps_per_second(cell) == found
    assert any_measured([cell]) == (found is not None)


def test_hours_are_steps_over_the_rate() -> None:
    """7,200 steps at 80/s and at 34/s: 0.025 and 0.0588 hours."""
    assert describe_gpu_hours(cells_of(["vgg16", "resnet56", "densenet40"])) == [
        "GPU-hours: about 0.084, one cell at a time, measured on NVIDIA H200 "
        "(commit 159be99 and b0699fd, normalizer batch), probes not counted",
        "GPU-hours: unknown for densenet40 in float32 (1 of 3 cells), which is not measured",
    ]


def test_a_bare_loop_gives_a_lower_bound() -> None:
    """7,200 steps at 377/s."""
    assert describe_gpu_hours(cells_of(["vgg16"], precision="tf32")) == [
        "GPU-hours: at least 0.0053, one cell at a time, measured on NVIDIA H200 by a bare loop as "
        "one CUDA graph (commit 159be99 and b0699fd, normalizer batch), probes not counted"
    ]


@pytest.mark.parametrize("gpu", [False, True])
def test_a_dry_run_of_the_flagship_tells_what_it_needs(
    gpu: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(dry_run, "has_gpu", lambda: gpu)
    # Building the networks takes 17 s; test_buildable is about it.
    monkeypatch.setattr(dry_run, "refuse_unbuildable", lambda *_: None)
    words = ["sweeps/normalizers.yaml", "--dry-run", "--storage", str(tmp_path / "results")]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "GPU-hours: at least 78, one cell at a time, measured on NVIDIA H200" in printed
    assert "GPU-hours: unknown" not in printed
    warning = "1560 cells train in tf32, which needs an NVIDIA GPU, and this machine has none"
    here = "--set training.precision=float32 --set resources.gpus=null"
    assert (warning in printed) == (f"run them here: {here}\n" in printed) == (not gpu)
    assert main([*words, *here.split()]) == 0
    printed = capsys.readouterr().out
    assert "GPU-hours: about " in printed
    assert "tf32" not in printed


def test_a_sweep_for_cpus_hears_nothing_of_gpus(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = str(tmp_path / "results")
    assert main(["sweeps/quickstart.yaml", "--dry-run", "--storage", storage]) == 0
    assert "GPU" not in capsys.readouterr().out
