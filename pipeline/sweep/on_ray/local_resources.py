"""What this process may use of its machine: processors, and GPUs that CUDA shows it.

Ray counts all processors of the machine, or those of a container; a process on a cluster with Slurm
or `taskset` may use fewer. CUDA reads ``CUDA_VISIBLE_DEVICES`` by rules of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from pipeline.cli import affinity

_MEMBERSHIP = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")


def usable_cpus(environment: Mapping[str, str] = os.environ) -> int:
    """Processors that this process may use, at least one.

    The smallest of its affinity, SLURM_CPUS_PER_TASK and its cgroups' quotas, rounded down.
    """
    counts = [float(affinity()), *_quotas()]
    given = environment.get("SLURM_CPUS_PER_TASK", "")
    if given.isdecimal():
        counts.append(float(given))
    return max(1, int(min(counts)))


def _quotas() -> Iterator[float]:
    """CPU quotas of this process's control groups and of those above them, in processors."""
    try:
        lines = _MEMBERSHIP.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _quotas_above(_CGROUPS, path)
        elif "cpu" in controllers.split(","):
            yield from _quotas_above(_CGROUPS / controllers, path)
            yield from _quotas_above(_CGROUPS / "cpu", path)


def _quotas_above(root: Path, path: str) -> Iterator[float]:
    inner = PurePosixPath(path.lstrip("/"))
    for folder in (root / inner, *(root / parent for parent in inner.parents)):
        quota = _quota(folder)
        if quota is not None:
            yield quota


def _quota(folder: Path) -> float | None:
    """A control group's quota in processors, of version 2 or 1; None where it has none."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # no such files, or "max"
        return None


def visible_gpus(value: str, uuids: Sequence[str]) -> int:
    """Devices that CUDA shows under a value of CUDA_VISIBLE_DEVICES.

    The value lists numbers, or beginnings of UUIDs (GPU-…), or MIG instances (MIG-…), of one kind.
    Devices count up to the first that there is not; a device that is listed twice hides all.

    Args:
        value: of the variable; empty, ``-1`` or a word such as ``NoDevFiles``: none.
        uuids: of the machine's cards, in their order.
    """
    found: list[str] = []
    listed = [word.strip() for word in value.split(",")]
    for word in listed:
        device = _device(word, uuids)
        if device is None or _kind(word) != _kind(listed[0]):
            break
        found.append(device)
    return len(found) if len(set(found)) == len(found) else 0


def _kind(word: str) -> str:
    return word[:4] if word.startswith(("GPU-", "MIG-")) else ""


def _device(word: str, uuids: Sequence[str]) -> str | None:
    """The device that a word names; None if there is none of that name."""
    if word.startswith("MIG-"):
        return word
    if word.startswith("GPU-"):
        return next((uuid for uuid in uuids if uuid.startswith(word)), None)
    return uuids[int(word)] if word.isdecimal() and int(word) < len(uuids) else None
