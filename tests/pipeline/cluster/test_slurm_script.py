"""What the printed job scripts ask Slurm for, and what they run."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cluster.command import main
from tests.helpers.machines.cluster_sweeps import wait, write_sweep

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


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck (Debian)")
@pytest.mark.parametrize("options", [["--nodes", "4"], ["--array", "8"]])
def test_shellcheck_finds_nothing(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = printed(tmp_path, capsys, *options, storage="/shared/my results")
    # SC2016: variables in single quotes; each node expands them, not the script.
    words = ["shellcheck", "--exclude=SC2016", "-"]
    checked = subprocess.run(words, input=script, text=True, capture_output=True)
    assert (checked.returncode, checked.stdout) == (0, "")


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
    assert f"{sweep} --storage /shared/r --stop\n" in script


def test_an_array_of_jobs_writes_no_mlflow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = printed(tmp_path, capsys, "--array", "16", "--gpus-per-node", "1")
    options = asked(script)
    assert options["array"] == "1-16"
    assert options["nodes"] == "1"
    assert "exclusive" not in options
    shard = '--shard "$SLURM_ARRAY_TASK_ID/16"'
    assert f"--storage /shared/r --tracking none {shard} &\n" in script
    assert f"--storage /shared/r {shard} --stop\n" in script
    assert "--storage /shared/r --sync\n" in script
    uri = ["--tracking", "http://head:5000"]
    assert f"/shared/r {' '.join(uri)} --sync\n" in printed(tmp_path, capsys, "--array", "2", *uri)


def test_the_job_runs_the_profile_that_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["slurm", str(ROOT / "sweeps/normalizers.yaml"), "--time", "1:00:00"]
    assert main([*words, "--profile", "cpu", "--set", "seeds=1"]) == 0
    script = capsys.readouterr().out
    assert script.count("normalizers.yaml --profile cpu --set seeds=1 --storage ") == 2
    assert main([*words, "--profile", "none"]) == 2
    assert "none" in capsys.readouterr().err


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
    waiting = script[script.index("wait_for_sweep() {") : script.index("# This script runs on")]
    test = (
        f"{waiting}\ntrap 'echo told' TERM\n(sleep 1; exit 7) &\nsweep=$!\n"
        "(sleep 0.3; kill -TERM $$) &\nwait_for_sweep\necho $?"
    )
    done = subprocess.run(["bash", "-c", test], text=True, capture_output=True, timeout=30)
    assert done.stdout == "told\n7\n"


STAND_INS = {
    # A sweep that hears the second request alone: at the first one it was still starting.
    "python": """
case "$*" in
  *token_hex*) touch token; sleep 0.3; echo secret ;;
  *--stop) echo "$*" >> requests; if [ "$(wc -l < requests)" -ge 2 ]; then touch stop; fi ;;
  *) echo "$*" > sweep; for _ in {1..100}; do [ ! -e stop ] || exit 130; sleep 0.1; done ;;
esac
""",
    "srun": 'while [ "$1" != bash ]; do shift; done\nexec "$@"\n',
    "ray": 'while [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n',
    "scontrol": 'echo "$*" > scontrol\n',
}
"""What a job script calls, as shell scripts that write what they are asked for into the folder."""


@pytest.mark.parametrize("options", [["--nodes", "2"], ["--array", "2"]], ids=" ".join)
@pytest.mark.parametrize("moment", ["token", "sweep"])
def test_a_job_that_is_told_to_end_at_any_time_stops_its_sweep_and_requeues(
    options: list[str], moment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGTERM may come while Ray starts, or before: the request reaches the sweep all the same."""
    script = printed(tmp_path, capsys, *options, storage=str(tmp_path))
    for name, text in STAND_INS.items():
        file = tmp_path / name
        file.write_text(f"#!/bin/bash\ncd {tmp_path} || exit\n{text}")
        file.chmod(0o755)
    script = script.replace(str(Path(sys.executable).parent), str(tmp_path))
    words = {"SLURM_JOB_ID": f"{os.getpid()}", "SLURM_CPUS_ON_NODE": "1"}
    environment = {**os.environ, **words, "SLURM_ARRAY_TASK_ID": "1"}
    job = subprocess.Popen(
        ["bash", "-c", script.replace("sleep 15", "sleep 0.2")],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    wait((tmp_path / moment).exists, f"no {moment}", seconds=30)
    job.send_signal(signal.SIGTERM)
    output = job.communicate(timeout=30)[0]
    assert job.returncode == 130, output
    requests = (tmp_path / "requests").read_text().splitlines()
    assert len(requests) >= 2
    shard = " --shard 1/2" if "--array" in options else ""
    assert all(each.endswith(f"--storage {tmp_path}{shard} --stop") for each in requests)
    assert (tmp_path / "scontrol").read_text() == f"requeue {words['SLURM_JOB_ID']}\n"
    assert "goes back to the queue" in output
