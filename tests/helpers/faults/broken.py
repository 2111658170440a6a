"""Faults of what a sweep runs on and of its cells: disks, servers, memory, code."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

from tests.helpers.faults.faulty_sweep import SLOW, Row, Scene, scene, tally

KINDS = {
    "raising": "raise",
    "hanging": "hang",
    "killed": "are killed",
    "stuck": "hang in native code that lets no thread run",
    "hungry": "take all memory",
}
"""What cells do, by normalizer."""


def bad_cells(at: Scene, kinds: list[str], seeds: int) -> list[Row]:
    """Cells that fail on purpose, beside a good one of each seed; then the same command again."""
    code, _ = at.finish()
    begun, results = at.begun(), at.results()
    again, _ = at.finish()
    more = at.begun().total() - begun.total()
    _, failures = at.finish("--failures")
    outcome = "; ".join(line for line in failures.splitlines() if not line.startswith("  "))
    bad, cells = len(kinds) * seeds, (len(kinds) + 1) * seeds
    first, lost = begun.total() - len(begun), seeds - len(at.results())
    name = f"cells that {', '.join(KINDS[kind] for kind in kinds)}"
    left = f"exit code {again}; what has failed is left alone, what is lost is not"
    return [
        Row(name, bad, cells, seeds - len(results), first, f"exit code {code}; {outcome}"),
        Row("… and the same command again", 1, cells, lost, more, left),
    ]


def bad(folder: Path, kinds: list[str], seeds: int) -> list[Row]:
    """`bad_cells` that raise, hang or are killed."""
    return bad_cells(scene(folder, [*kinds, SLOW], seeds, time_limit=4.0), kinds, seeds)


def hungry(folder: Path, seeds: int) -> list[Row]:
    """`bad_cells` that take all memory; the machine counts as full two GiB from where it is now."""
    from pipeline.trial import memory_guard as exhaustion

    at = scene(folder, ["hungry", SLOW], seeds)
    machine = exhaustion.total_and_available()
    total, left = machine.total, machine.left
    file = at.folder / "pipeline/trial/memory_guard.py"
    bounds = f"_MIN_FREE, _MIN_SHARE = {(left - 2 * 2**30) / total}, {5 * 2**28 / total}"
    code = file.read_text().replace("0.5 * cpus", "0 * cpus")
    file.write_text(code.replace("_JITTER = ", f"{bounds}\n_JITTER = "))
    return bad_cells(at, ["hungry"], seeds)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own in memory; needs root."""
    place = folder / "disk"
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def disk_full(folder: Path) -> Row:
    """A store whose disk is full half way; then there is room, and the same command."""
    with small_disk(folder, "60k") as place:
        at = Scene(scene(folder / "scene", [SLOW], 8).folder, place / "results")
        code, printed = at.finish()
        before = at.results()
        assert code == 1
        assert "Traceback" not in printed
        subprocess.run(["mount", "-o", "remount,size=50m", place], check=True)
        at.finish()
        outcome = f"exit code {code}, {len(before)} of 8 cells done while it was full"
        return tally("store's disk full", 1, before, at, 8, outcome)


def read_only(folder: Path) -> Row:
    """A store on a disk that has become read-only; then it is writable, and the same command."""
    with small_disk(folder, "50m") as place:
        at = Scene(scene(folder / "scene", [SLOW], 4).folder, place / "results")
        at.finish("--limit", "2")
        before = at.results()
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        code, printed = at.finish()
        subprocess.run(["mount", "-o", "remount,rw", place], check=True)
        at.finish()
        outcome = f"exit code {code}, “{printed.strip().splitlines()[-1].split('/')[-1]}”"
        return tally("store's disk read-only", 1, before, at, 4, outcome)


@contextmanager
def server(database: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """An MLflow server that answers; killed, all its processes, at the end of the context."""
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)]
    command += ["--host", "127.0.0.1", "--backend-store-uri", f"sqlite:///{database}"]
    command += ["--serve-artifacts", "--artifacts-destination", str(database.parent / "artifacts")]
    silence = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with subprocess.Popen(
        command,
        env={**os.environ, **silence},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            answers(port)
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def answers(port: int) -> None:
    """Wait until a server on this machine is healthy."""
    for _ in range(1200):
        with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
            return
        time.sleep(0.1)
    raise RuntimeError(f"nothing answers on port {port}")


def dead_tracking(folder: Path) -> Row:
    """An MLflow server killed as cells begin, dead for the whole run, and then there; --sync."""
    at, port = scene(folder, [SLOW], 4), free_port()
    address = f"http://127.0.0.1:{port}"
    with server(folder / "mlflow.db", port):
        process = at.start("--tracking", address)
        at.wait_for(process, 1)
    process.communicate(timeout=600)
    before = at.results()
    with server(folder / "mlflow.db", port):
        _, printed = at.finish("--tracking", address, "--sync")
        same = equal_files(at.storage, folder / "copy", address)
    made = printed.split("(")[-1].strip(")\n")
    outcome = f"exit code {process.returncode}; --sync: {made}; {same} files equal, byte for byte"
    return tally("MLflow killed for the whole run, then back", 1, before, at, 4, outcome)


def equal_files(storage: Path, copy: Path, address: str) -> int:
    """How many files the cells have, all of which MLflow gives back as they are."""
    from pipeline.tracking import client as tracking

    tracking.download(address, ["faults"], str(copy))
    own, mirrored = cell_files(storage), cell_files(copy)
    assert own == mirrored, sorted(set(own) ^ set(mirrored))
    return len(own)


def cell_files(storage: Path) -> dict[str, bytes]:
    """The results and the records of all cells."""
    files = [*storage.glob("cells/*/*.parquet"), *storage.glob("cells/*/result.json")]
    return {str(file.relative_to(storage)): file.read_bytes() for file in files}


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def truncated(folder: Path) -> Row:
    """A record file that has lost its end: named when read; without its folder, run again."""
    from pipeline.store.store import Store, StoreError

    at = scene(folder, [SLOW], 2)
    at.finish()
    cell = min(at.results())
    file = at.storage / "cells" / cell / "training.parquet"
    file.write_bytes(file.read_bytes()[:-10])
    store = Store(str(at.storage))
    try:
        store.records(store.result(cell), "training")
        raise AssertionError("a truncated file was read")
    except StoreError as error:
        outcome = "“" + str(error).split("/")[-1].split(";")[0] + "”"
    for each in file.parent.iterdir():
        each.unlink()
    before = {other: written for other, written in at.results().items() if other != cell}
    at.finish()
    return tally("record file truncated", 1, before, at, 2, outcome)
