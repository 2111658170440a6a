"""Exhausted memory: who is ended for it, and in which words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ray.exceptions import OutOfMemoryError

from pipeline.spec.read import Resources
from pipeline.store.store import Store
from pipeline.sweep.on_ray import tune
from pipeline.trial import memory_guard
from pipeline.trial import run as trial
from pipeline.trial.cgroup import Space
from pipeline.trial.run import run_and_record
from tests.helpers.stores.cells import REGRESSION, cell

ROOT = Path(__file__).parents[3]
GIB = 2**30

HUNGRY = """
import time
from pipeline.trial import memory_guard as exhaustion
space = min(exhaustion.spaces(), key=lambda space: space.left / space.total)
exhaustion._MIN_FREE, exhaustion._MIN_SHARE = (space.left - 2**29) / space.total, {least}
hoard = []
with exhaustion.kill_on_memory_pressure(0, lambda said: print(said, flush=True)):
    for _ in range(16):  # a GiB, and then no more
        hoard.append(b"x" * 2**26)
        time.sleep(0.1)
    time.sleep(1)
print("came back")
"""


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="needs /proc")
@pytest.mark.parametrize("is_guilty", [True, False])
def test_a_process_that_takes_all_memory_says_so_and_ends(is_guilty: bool) -> None:
    """The machine counts as full half a GiB from where it is, and a share as little, or as all."""
    code = HUNGRY.format(least=0.001 if is_guilty else 1)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    if is_guilty:
        assert done.returncode == 1
        assert done.stdout.startswith("out of memory: it had taken ")
        assert " and no more was left; lower batch_size" in done.stdout
    else:
        assert (done.returncode, done.stdout) == (0, "came back\n")


@pytest.mark.parametrize(
    ("own", "left", "fair", "is_guilty"),
    [
        (13 * GIB, 2 * GIB, 0.5, True),
        (13 * GIB, 3 * GIB, 0.5, False),  # there is memory left
        (11 * GIB, 2 * GIB, 0.5, False),  # it has not taken too much: another process has
    ],
)
def test_who_has_taken_too_much_where_little_is_left(
    own: int, left: int, fair: float, is_guilty: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_guard, "process_rss", lambda: own)
    monkeypatch.setattr(memory_guard, "spaces", lambda: [Space("machine", 24 * GIB, left)])
    assert (memory_guard._filled(fair) is not None) == is_guilty


def test_a_full_group_counts_on_a_machine_that_others_have_filled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = [Space("machine", 24 * GIB, 0), Space("cgroup /a", 4 * GIB, GIB // 4)]
    monkeypatch.setattr(memory_guard, "process_rss", lambda: 3 * GIB)
    monkeypatch.setattr(memory_guard, "spaces", lambda: both)
    assert memory_guard._filled(0.5) == both[1]


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="needs /proc")
def test_memory_is_what_is_there_and_what_this_process_has() -> None:
    machine = memory_guard.total_and_available()
    assert 0 < machine.left < machine.total
    before = memory_guard.process_rss()
    hoard = b"x" * 2**28
    assert memory_guard.process_rss() - before == pytest.approx(len(hoard), rel=0.1)


def raised(size: int) -> RuntimeError:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(size, dtype=torch.uint8)
    return caught.value


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "on the GPU"),
        (RuntimeError("CUDA error: out of memory"), "on the GPU"),
        (MemoryError("no room"), "out of memory; lower batch_size or --concurrency: MemoryError"),
        (raised(2**60), "out of memory; lower batch_size or --concurrency: RuntimeError"),
    ],
)
def test_exhausted_memory_is_a_failure_in_plain_words(
    error: Exception, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausting(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(trial, "run_trial", exhausting)
    store, known = Store(str(tmp_path)), cell(REGRESSION)
    assert run_and_record(known, store, "cpu") == "failed"
    said = store.failure(known.cell_id)["error"]
    assert said.startswith("out of memory")
    assert words in said
    assert str(error) in said


def test_another_error_is_said_as_it_is() -> None:
    assert memory_guard.cause(ValueError("a short memory")) == "ValueError: a short memory"


def test_a_cluster_that_guards_memory_itself_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where Ray's guard ends a worker, Tune raises what nobody could make sense of."""

    class Tuner:
        def __init__(self, *parts: object, **options: object) -> None: ...

        def fit(self) -> None:
            raise RuntimeError("unexpected") from OutOfMemoryError("killed")

    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 1.0})
    for name in ("with_parameters", "with_resources"):
        monkeypatch.setattr(f"ray.tune.{name}", lambda trainable, *parts, **options: trainable)
    monkeypatch.setattr("ray.tune.Tuner", Tuner)
    job = tune.Job("small", str(tmp_path), Resources())
    events = tune.Events([], [])
    with pytest.raises(ValueError, match="nodes with RAY_memory_monitor"):
        tune.run([cell(REGRESSION)], job, 1, events)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_what_cuda_raises_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**45, dtype=torch.uint8, device="cuda")
    assert memory_guard.cause(caught.value).startswith("out of memory on the GPU; lower batch_size")
