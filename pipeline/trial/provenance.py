"""Where a number came from: code, environment and machine, saved with every result."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import torch

from pipeline.package_version import package_version, versions_of

_ROOT = Path(__file__).resolve().parents[2]
_OURS = ("pipeline", "analysis", "normscope")
"""Our own packages."""
_PACKAGES = ("torch", "torchvision", "timm", "numpy", "ray", "mlflow")


def provenance(
    device: torch.device, data_digest: str, modules: Iterable[str] = ()
) -> dict[str, Any]:
    """What a result's reader needs to make it again; ``time`` is when the trial ended (UTC).

    Args:
        device: of the trial.
        data_digest: of its data.
        modules: what its parts import of other packages, whose versions are recorded too.
    """
    return {
        **_code(),
        "versions": {**_versions(), **versions_of(modules)},
        "device": _device_name(device),
        "device_type": device.type,
        "deterministic": _deterministic(),
        "threads": torch.get_num_threads(),
        "data_digest": data_digest,
        "host": platform.node(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@cache
def _code() -> dict[str, Any]:
    """Commit, whether the tree differed from it, and the lock's digest; None where not known."""
    lock = _ROOT / "requirements.lock"
    return {
        "commit": _git("rev-parse", "HEAD"),
        "dirty": _dirty(),
        "lock": hashlib.sha256(lock.read_bytes()).hexdigest() if lock.exists() else None,
    }


def _dirty() -> bool | None:
    """Whether a tracked file differs from the commit, or a package has a file that it lacks."""
    changed = _git("status", "--porcelain", "--untracked-files=no")
    added = _git("ls-files", "--others", "--exclude-standard", "--", *_OURS)
    return None if changed is None or added is None else bool(changed or added)


def _git(*arguments: str) -> str | None:
    """What git says of this checkout; None in an installed package, wherever that lies."""
    if not (_ROOT / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@cache
def _versions() -> dict[str, str | None]:
    return {
        "python": platform.python_version(),
        **{name: package_version(name) for name in _PACKAGES},
    }


def _deterministic() -> str:
    """What torch was told: ``all`` operations, ``cudnn``'s choices alone, or ``none``."""
    if torch.are_deterministic_algorithms_enabled():
        return "all"
    cudnn = torch.backends.cudnn
    return "cudnn" if cudnn.deterministic and not cudnn.benchmark else "none"


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return _processor()


@cache
def _processor() -> str:
    """The processor's name as its maker gives it, or at least its kind."""
    described = Path("/proc/cpuinfo")
    if described.exists():
        for line in described.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
