"""What this machine has of GPUs, and how cells that share one would take turns on it.

It looks at files and variables alone: no CUDA is begun, and no daemon is started.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

_DEVICES = Path("/dev")
_HIDDEN = ("", "-1", "NoDevFiles")
"""Values of CUDA_VISIBLE_DEVICES that hide all GPUs."""
_MPS_CONTROL = "nvidia-cuda-mps-control"
_MPS_PIPES = "/tmp/nvidia-mps"
"""NVIDIA's default folder of the daemon's pipes."""


def has_gpu(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this machine has an NVIDIA GPU that CUDA may see."""
    if environment.get("CUDA_VISIBLE_DEVICES") in _HIDDEN:
        return False
    return any(_DEVICES.glob("nvidia[0-9]*")) or (_DEVICES / "dxg").exists()  # dxg: WSL


def describe_sharing(share: float, environment: Mapping[str, str] = os.environ) -> str:
    """A line on how cells that each take a share of a GPU run at once, on this machine.

    NVIDIA's MPS lets kernels of several processes run at the same time; without it, processes take
    turns on a GPU. Its daemon listens on a pipe in CUDA_MPS_PIPE_DIRECTORY.
    """
    cells = f"GPU sharing: up to {int(1 / share + 1e-9)} cells per GPU"
    pipes = Path(environment.get("CUDA_MPS_PIPE_DIRECTORY") or _MPS_PIPES)
    if (pipes / "control").exists():
        return f"{cells}; MPS is running (pipes in {pipes})"
    if shutil.which(_MPS_CONTROL, path=environment.get("PATH")):
        return (
            f"{cells}, in turns: MPS is installed but not running (`{_MPS_CONTROL} -d` starts it)"
        )
    return f"{cells}, in turns: MPS is not installed here ({_MPS_CONTROL} is not in PATH)"
