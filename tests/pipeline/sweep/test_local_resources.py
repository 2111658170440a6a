"""Processors and GPUs that a process may use, as the machine and its scheduler say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.sweep.on_ray import local_resources
from pipeline.sweep.on_ray.local_resources import usable_cpus, visible_gpus

CARDS = ["GPU-aa11", "GPU-aa22", "GPU-bb33"]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of eight processors; gives the folder of its control groups."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(local_resources, "_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(local_resources, "_CGROUPS", tmp_path)
    return tmp_path


def group(machine: Path, membership: str, files: dict[str, str]) -> None:
    (machine / "membership").write_text(membership)
    for name, text in files.items():
        (machine / name).parent.mkdir(parents=True, exist_ok=True)
        (machine / name).write_text(text)


def test_affinity(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable_cpus({}) == 8
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert usable_cpus({}) == 1


@pytest.mark.parametrize(("given", "count"), [("2", 2), ("16", 8), ("", 8), ("x", 8), ("0", 1)])
def test_slurm(machine: Path, given: str, count: int) -> None:
    assert usable_cpus({"SLURM_CPUS_PER_TASK": given}) == count


@pytest.mark.parametrize(
    ("membership", "files", "count"),
    [
        ("0::/\n", {"cpu.max": "350000 100000\n"}, 3),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/job/step\n", {"job/cpu.max": "200000 100000\n", "job/step/cpu.max": "max 1\n"}, 2),
        ("0::/job\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/not/mounted\n", {"cpu.max": "400000 100000\n"}, 4),
        (
            "7:memory:/a\n4:cpu,cpuacct:/docker/a\n0::/\n",
            {
                "cpu,cpuacct/cpu.cfs_quota_us": "250000",
                "cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            2,
        ),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
    ],
)
def test_quotas(machine: Path, membership: str, files: dict[str, str], count: int) -> None:
    group(machine, membership, files)
    assert usable_cpus({}) == count


@pytest.mark.parametrize(
    ("value", "count"),
    [
        *(("", 0), ("-1", 0), ("NoDevFiles", 0), ("none", 0), ("3", 0)),
        *(("0", 1), ("2,0", 2), (" 0 , 1 ", 2), ("0,1,2", 3), ("0,7,1", 1), ("1,-1,0", 1)),
        *(("0,0", 0), ("0,1,0", 0)),
        *(("GPU-aa11", 1), ("GPU-bb,GPU-aa1", 2), ("GPU-cc", 0), ("GPU-bb,GPU-cc,GPU-aa1", 1)),
        *(("GPU-aa11,GPU-aa11", 0), ("GPU-aa11,1", 1), ("1,GPU-aa11", 1)),
        *(("MIG-1", 1), ("MIG-1,MIG-2,MIG-3,MIG-4", 4), ("MIG-GPU-aa11/1/0", 1)),
        *(("MIG-1,MIG-1", 0), ("MIG-1,GPU-aa11", 1)),
    ],
)
def test_gpus_are_counted_as_cuda_does(value: str, count: int) -> None:
    assert visible_gpus(value, CARDS) == count


def test_no_cards() -> None:
    assert visible_gpus("0", []) == 0
