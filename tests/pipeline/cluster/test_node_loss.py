"""A node killed in the middle of a trial, on a Ray cluster of several nodes in one machine."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.machines.cluster_sweeps import results, wait, write_sweep
from tests.pipeline.cluster.conftest import OBJECT_STORE, ROOT, end

CELLS = 8

# In a process of its own: a head which runs no cell and two workers, of which a line kills one.
NODES = f"""
import sys
from ray.cluster_utils import Cluster
size = {{"object_store_memory": {OBJECT_STORE}}}
cluster = Cluster(initialize_head=True, head_node_args={{"num_cpus": 0, **size}})
workers = [cluster.add_node(num_cpus=1, **size) for _ in range(2)]
print(cluster.address, flush=True)
sys.stdin.readline()
cluster.remove_node(workers[1], allow_graceful=False)
print("killed", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The process of the nodes, and the environment of those who use them."""
    token = tmp_path / "token"
    token.write_text(secrets.token_hex(32))
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    with subprocess.Popen(
        [sys.executable, "-c", NODES],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address, "the nodes did not start"
            yield process, {**environment, "RAY_ADDRESS": address}
        finally:
            end(process)


@pytest.mark.slow
def test_every_cell_is_done_though_a_node_dies_in_the_middle_of_a_trial(
    nodes: tuple[subprocess.Popen[str], dict[str, str]], tmp_path: Path
) -> None:
    process, environment = nodes
    file, storage = write_sweep(tmp_path, cells=CELLS, steps=4000), tmp_path / "results"
    command = [sys.executable, "-m", "pipeline.sweep", str(file), "--storage", str(storage)]
    with (tmp_path / "said").open("wb") as said:
        sweep = subprocess.Popen(
            [*command, "--tracking", "none"], cwd=ROOT, env=environment, stdout=said, stderr=said
        )
    try:
        wait(lambda: len(results(storage)) >= 2 or sweep.poll() is not None, "no cell finished")
        kept = results(storage)
        assert len(kept) <= CELLS - 3, (tmp_path / "said").read_text()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("now\n")
        process.stdin.flush()
        assert process.stdout.readline() == "killed\n"
        assert sweep.wait(timeout=180) == 0, (tmp_path / "said").read_text()
    finally:
        sweep.kill()
        sweep.wait()
    after = results(storage)
    assert len(after) == CELLS
    assert {cell: after[cell] for cell in kept} == kept
