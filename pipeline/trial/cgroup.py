"""Memory limits that Linux sets for this process: those of its control groups, v1 and v2.

A process is in a group, and so in all groups above it; each may have a limit. SLURM, Docker and
Kubernetes bound a job's memory so, and the kernel kills a process of a group that is full.
psutil knows the machine's memory alone, not these limits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_ROOT = Path("/")
_NO_LIMIT = 2**60
"""Bytes from which on version 1 means that there is no limit."""


@dataclass(frozen=True)
class Space:
    """Memory of which no more is to be had than there is, in bytes."""

    owner: str
    """Whose it is: the machine's, or a control group's."""
    total: int
    left: int


@dataclass(frozen=True)
class _Group:
    """A control group's folder, and the names of its files."""

    folder: Path
    limit: str
    used: str
    cache: str
    kills: str


def spaces(root: Path = _ROOT) -> list[Space]:
    """The memory of each of this process's groups that has a limit, its own group first."""
    found = (_space(group) for group in _groups(root))
    return [space for space in found if space is not None]


def kills(root: Path = _ROOT) -> tuple[str, int] | None:
    """This process's own group, and how many of its processes the kernel has killed for memory.

    None where no such count can be read.
    """
    for group in _groups(root):
        try:
            return str(group.folder), _fields(group.folder / group.kills)["oom_kill"]
        except (OSError, ValueError, KeyError):  # a level that is not visible, or an old kernel
            continue
    return None


def _groups(root: Path) -> Iterator[_Group]:
    """This process's group of each version, and those above it."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            names = ("memory.max", "memory.current", "inactive_file", "memory.events")
            yield from _upwards(root / "sys/fs/cgroup", path, names)
        elif "memory" in controllers.split(","):
            names = (
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
                "memory.oom_control",
            )
            yield from _upwards(root / "sys/fs/cgroup/memory", path, names)


def _upwards(top: Path, path: str, names: tuple[str, str, str, str]) -> Iterator[_Group]:
    """A container sees its own group as the top, whatever path its process has elsewhere."""
    inner = PurePosixPath(path.lstrip("/"))
    levels = [] if ".." in inner.parts else [inner, *inner.parents]
    for level in dict.fromkeys([*levels, PurePosixPath()]):
        yield _Group(top / level, *names)


def _space(group: _Group) -> Space | None:
    """A group's memory; what the kernel has cached of files makes room as it is needed."""
    folder = group.folder
    try:
        total = int((folder / group.limit).read_text())
        used = int((folder / group.used).read_text())
        used -= _fields(folder / "memory.stat").get(group.cache, 0)
    except (OSError, ValueError):  # no such files, or "max"
        return None
    return None if total >= _NO_LIMIT else Space(f"cgroup {folder}", total, total - used)


def _fields(file: Path) -> dict[str, int]:
    """Numbers by name, from lines of a name and a number."""
    pairs = (line.split() for line in file.read_text().splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}
