"""The printed scripts tried for real: sbatch on a Slurm whose nodes are namespaces of this machine.

It uses Slurm where it is installed, and is skipped elsewhere. A node's processes are killed in the
middle of the sweep, the job is told that its time is over, requeues itself and goes on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.cluster.command import main
from tests.helpers.machines.cluster_sweeps import results, wait, write_braked_sweep, write_sweep
from tests.helpers.machines.slurm_site import Site, slurm, why_not

pytestmark = pytest.mark.cluster


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    if reason := why_not():
        pytest.skip(reason)
    # Munge's socket has to be in a folder that everybody may enter, and its path to be short.
    with tempfile.TemporaryDirectory(prefix="ns", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with slurm(folder, nodes=2, cpus=1) as site:
            yield site


def print_script(
    site: Site, sweep: Path, storage: Path, capsys: pytest.CaptureFixture[str], *options: str
) -> str:
    """Print a job script; the file's name."""
    assert main(["slurm", str(sweep), "--storage", str(storage), "--time", "30:00", *options]) == 0
    file = site.folder / "job.sh"
    file.write_text(capsys.readouterr().out)
    return str(file)


def wait_for(site: Site, condition: Callable[[], object], why: str) -> None:
    """Wait until a condition holds, or no job is left in the queue."""
    try:
        wait(lambda: condition() or not site.states(), why, seconds=900, every=0.5)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{site.log()}") from None


def test_a_job_of_two_nodes_survives_a_kill_and_its_wall_time(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The brake makes sure that a cell runs when the job is told to end, and cannot end before."""
    storage = tmp_path / "results"
    sweep, brake = write_braked_sweep(tmp_path, cells=8, steps=8000)
    options = "--nodes", "2", "--set", "training.steps=10000"
    job = site.run("sbatch", "--parsable", print_script(site, sweep, storage, capsys, *options))
    wait_for(site, lambda: len(results(storage)) >= 2, "no cell finished")
    kept = results(storage)
    assert 2 <= len(kept) <= 4, site.log()
    site.on_node(1, "pkill -KILL -f raylet")
    wait_for(site, lambda: len(results(storage)) > len(kept), "no cell finished alone")
    brake.on.touch()
    wait_for(site, brake.held.exists, "no cell is held")
    site.run("scancel", "--batch", "--signal=TERM", job)
    wait_for(site, lambda: site.states() == ["PENDING"], "it was not requeued")
    brake.on.unlink()
    middle = results(storage)
    assert len(middle) < 8, site.log()
    (stopped,) = [file.parent for file in storage.glob("cells/*/checkpoint.pt")]
    assert "stopped after" in (stopped / "log.txt").read_text()
    # Slurm waits two minutes; at once, its nodes would refuse the job as one that was cancelled.
    site.run("scontrol", "update", f"JobId={job}", "StartTime=now+5")
    wait_for(site, lambda: False, "it did not end")
    assert site.ended_states(job) == ["COMPLETED"], site.log()
    after = results(storage)
    assert len(after) == 8, site.log()
    assert {cell: after[cell] for cell in middle} == middle
    assert not list(storage.glob("cells/*/checkpoint.pt"))


def test_an_array_of_jobs_shares_a_sweep_and_runs_no_cell_twice(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = tmp_path / "results"
    sweep = write_sweep(tmp_path, cells=6, steps=4000)
    job = site.run(
        "sbatch", "--parsable", print_script(site, sweep, storage, capsys, "--array", "3")
    )
    wait_for(site, lambda: False, "it did not end")
    assert site.ended_states(job) == ["COMPLETED"] * 3, site.log()
    assert len(results(storage)) == 6
    logs = [file.read_text() for file in site.folder.glob("normscope-there-*.log")]
    assert len(logs) == 3
    assert sum(int(log.split("there: ")[1].split(" cells to run")[0]) for log in logs) == 6
    assert not (storage / "mlflow.db").exists()
