"""What a machine has of GPUs and of MPS, as its files and variables tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.sweep.on_ray import gpus


@pytest.mark.parametrize(
    ("files", "visible", "found"),
    [
        (["nvidia0", "nvidiactl"], None, True),
        (["nvidia0"], "0", True),
        (["nvidia0"], "", False),
        (["nvidia0"], "-1", False),
        (["nvidiactl"], None, False),
        (["dxg"], None, True),
        ([], None, False),
    ],
)
def test_has_gpu(
    files: list[str],
    visible: str | None,
    found: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in files:
        (tmp_path / name).touch()
    monkeypatch.setattr(gpus, "_DEVICES", tmp_path)
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert gpus.has_gpu(environment) == found


@pytest.mark.parametrize(
    ("installed", "running", "line"),
    [
        (True, True, "GPU sharing: up to 4 cells per GPU; MPS is running (pipes in {pipes})"),
        (
            True,
            False,
            "GPU sharing: up to 4 cells per GPU, in turns: MPS is installed but not running "
            "(`nvidia-cuda-mps-control -d` starts it)",
        ),
        (
            False,
            False,
            "GPU sharing: up to 4 cells per GPU, in turns: MPS is not installed here "
            "(nvidia-cuda-mps-control is not in PATH)",
        ),
    ],
)
def test_what_is_found_of_mps(installed: bool, running: bool, line: str, tmp_path: Path) -> None:
    programs, pipes = tmp_path / "bin", tmp_path / "pipes"
    programs.mkdir()
    pipes.mkdir()
    if installed:
        (programs / "nvidia-cuda-mps-control").touch(mode=0o755)
    if running:
        (pipes / "control").touch()
    environment = {"PATH": str(programs), "CUDA_MPS_PIPE_DIRECTORY": str(pipes)}
    assert gpus.describe_sharing(0.25, environment) == line.format(pipes=pipes)


@pytest.mark.parametrize(("share", "count"), [(0.1, 10), (0.3, 3), (1 / 3, 3), (0.4, 2), (0.6, 1)])
def test_cells_per_gpu(share: float, count: int) -> None:
    assert f"up to {count} cells per GPU" in gpus.describe_sharing(share, {})
