"""What the printed job scripts ask Slurm for, and what they run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from pipeline.cluster.command import main
from tests.helpers.cluster_sweeps import write_sweep

ROOT = Path(__file__).parents[3]


def printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *options: str, storage: str = "/shared/r"
) -> str:
    file = str(write_sweep(tmp_path, cells=2, steps=5))
    words = ["slurm", file, "--time", "24:00:00", "--storage", storage, *options]
    assert main(words) == 0
    return capsys.readouterr().out


def asked(script: str) -> dict[str, str]:
    return dict(re.findall(r"^#SBATCH --([\w-]+)=?(.*)$", script, re.MULTILINE))


@pytest.mark.parametrize("options", [["--nodes", "4"], ["--array", "8"], []])
def test_bash_can_read_the_script(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = printed(tmp_path, capsys, *options)
    checked = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "@" not in script.replace("B:TERM@300", "").replace('"$@"', "")


def test_one_job_of_several_nodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ["--nodes", "4", "--gpus-per-node", "8", "--partition", "gpu", "--account", "me"]
    script = printed(tmp_path, capsys, *wanted, "--set", "seeds=[1, 2]")
    assert asked(script) == {
        "job-name": "normscope-there",
        "partition": "gpu",
        "account": "me",
        "nodes": "4",
        "ntasks-per-node": "1",
        "gpus-per-node": "8",
        "time": "24:00:00",
        "signal": "B:TERM@300",
        "output": "normscope-there-%j.log",
        "open-mode": "append",
        "exclusive": "",
        "requeue": "",
    }
    assert "--min-nodes 4" in script
    assert "--num-gpus=8" in script
    sweep = f"python -m pipeline.sweep {tmp_path}/there.yaml --set 'seeds=[1, 2]'"
    assert f"' bash {sweep} --storage /shared/r &\n" in script
    assert f"{sweep} --storage /shared/r$part --stop\n" in script


def test_an_array_of_jobs_writes_no_mlflow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = printed(tmp_path, capsys, "--array", "16", "--gpus-per-node", "1")
    options = asked(script)
    assert options["array"] == "1-16"
    assert options["nodes"] == "1"
    assert "exclusive" not in options
    assert 'part=" --shard $SLURM_ARRAY_TASK_ID/16"' in script
    assert "--storage /shared/r --tracking none $part &\n" in script
    assert "--storage /shared/r --sync\n" in script
    uri = ["--tracking", "http://head:5000"]
    assert f"/shared/r {' '.join(uri)} --sync\n" in printed(tmp_path, capsys, "--array", "2", *uri)


def test_where_mlflow_is_can_be_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uri = "http://head:5000"
    assert f" --storage /shared/r --tracking {uri} &" in printed(
        tmp_path, capsys, "--tracking", uri
    )
    remote = printed(tmp_path, capsys, storage="s3://b/r")
    assert " --storage s3://b/r --tracking none &" in remote


@pytest.mark.parametrize(
    "time", ["10", "10:00", "0:10:00", "0-1", "0-0:10", "0-0:10:0", "1-00:00:00"]
)
def test_every_form_of_time_is_known(
    time: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(printed(tmp_path, capsys, "--time", time))["time"] == time


def test_a_relative_storage_becomes_a_whole_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert f"--storage {tmp_path}/results &" in printed(tmp_path, capsys, storage="results")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--time", "tomorrow"], "--time tomorrow: no time of Slurm's; write 24:00:00"),
        (["--array", "2", "--nodes", "2"], "each job of an array has one node"),
        (["--time", "9"], "--time 9: too short, the job is told to end 300 s before"),
        (["--time", "00:09:59"], "give at least 10 minutes"),
        (["--partition", "a b"], "--partition 'a b': must be a name"),
        (["--account", "a\n#SBATCH --wrap=x"], "--account"),
        (["--storage", "memory://x"], "--storage memory://x: ends with the job"),
    ],
)
def test_what_makes_no_job_is_refused(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(write_sweep(tmp_path, cells=2, steps=5))
    assert main(["slurm", file, "--time", "1:00:00", *options]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert message in output.err


def test_a_signal_does_not_hide_the_exit_code_of_the_job_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGTERM interrupts bash's wait: what counts is how the sweep ended, after it."""
    script = printed(tmp_path, capsys)
    waiting = script[script.index("wait_for() {") : script.index("# This script runs on")]
    test = (
        f"{waiting}\ntrap 'echo told' TERM\n(sleep 1; exit 7) &\nchild=$!\n"
        "(sleep 0.3; kill -TERM $$) &\nwait_for $child\necho $?"
    )
    done = subprocess.run(["bash", "-c", test], text=True, capture_output=True, timeout=30)
    assert done.stdout == "told\n7\n"
