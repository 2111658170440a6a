"""A small Slurm on this machine: a controller here, and a node in each of some namespaces."""

from __future__ import annotations

import platform
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.machines import network_namespaces
from tests.helpers.machines.network_namespaces import Machine, machines

_TOOLS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "scancel")
_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
_CONTROLLER = "10.213.77.1"


@dataclass(frozen=True)
class Site:
    """A running Slurm: its nodes, and the folder of its configuration."""

    folder: Path
    nodes: list[Machine]
    key: Path

    def run(self, *words: str) -> str:
        """Run one of Slurm's commands; its output."""
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self.folder,
            env=_environment(self.folder),
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr, self.log())
        return done.stdout.strip()

    def states(self) -> list[str]:
        """The states of all jobs that the queue still has, as RUNNING."""
        return self.run("squeue", "--array", "--noheader", "--format=%T").splitlines()

    def ended_states(self, job: str) -> list[str]:
        """The states of a job, or of each task of an array."""
        shown = self.run("scontrol", "--oneliner", "show", "job", job).split()
        return [word.removeprefix("JobState=") for word in shown if word.startswith("JobState=")]

    def on_node(self, number: int, command: str) -> None:
        """Run a command on a node, whatever it returns."""
        _ssh(self.nodes[number], self.key, command)

    def log(self) -> str:
        """What the controller and the jobs have written."""
        files = [*self.folder.glob("*.log"), *self.folder.glob("spool-*/*.log")]
        return "\n".join(f"== {file.name}\n{file.read_text()[-4000:]}" for file in files)


def why_not() -> str | None:
    """The reason why there can be no Slurm here, if so."""
    absent = [tool for tool in _TOOLS if shutil.which(tool, path=_PATH) is None]
    if absent:
        return f"needs the commands {', '.join(absent)} (Debian: slurm-wlm, munge)"
    return network_namespaces.why_not()


@contextmanager
def slurm(folder: Path, nodes: int, cpus: int) -> Iterator[Site]:
    """Context manager with a running Slurm of so many nodes, each with so many CPUs."""
    key = folder / "key"
    with machines(folder, nodes, key) as made:
        site = Site(folder, made, key)
        (folder / "slurm.conf").write_text(_configuration(folder, made, cpus))
        # The other version of control groups does not start without a mounted file system of them.
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        daemons = [_daemon(folder, *_munged(folder))]
        try:
            _until(lambda: (folder / "munge.socket").exists(), "munged")
            daemons.append(_daemon(folder, "slurmctld", "-D", "-i", "-f", f"{folder}/slurm.conf"))
            for number, machine in enumerate(made):
                _ssh(machine, key, _start_node(folder, number))
            _until(lambda: site.run("sinfo", "-h", "-t", "idle", "-o", "%D") == str(nodes), "nodes")
            yield site
        finally:
            for daemon in reversed(daemons):
                daemon.terminate()
                daemon.wait()


def _configuration(folder: Path, made: list[Machine], cpus: int) -> str:
    lines = [
        "ClusterName=normscope",
        f"SlurmctldHost={platform.node()}({_CONTROLLER})",
        "SlurmctldPort=17817",
        "SlurmUser=root",
        "SlurmdUser=root",
        "AuthType=auth/munge",
        f"AuthInfo=socket={folder}/munge.socket",
        "CredType=cred/munge",
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_CPU",
        "SlurmdParameters=config_overrides",
        "MpiDefault=none",
        "ReturnToService=2",
        "KillWait=5",
        f"StateSaveLocation={folder}/state",
        f"SlurmdSpoolDir={folder}/spool-%n",
        f"SlurmctldPidFile={folder}/slurmctld.pid",
        f"SlurmdPidFile={folder}/slurmd-%n.pid",
        f"SlurmctldLogFile={folder}/slurmctld.log",
        f"SlurmdLogFile={folder}/slurmd-%n.log",
    ]
    for number, machine in enumerate(made):
        (folder / f"spool-n{number}").mkdir()
        lines.append(f"NodeName=n{number} NodeAddr={machine.address} Port=17818 CPUs={cpus}")
    names = ",".join(f"n{number}" for number in range(len(made)))
    (folder / "state").mkdir()
    return "\n".join([*lines, f"PartitionName=all Nodes={names} Default=YES State=UP", ""])


def _munged(folder: Path) -> list[str]:
    key = folder / "munge.key"
    key.write_bytes(b"a secret of this test alone" * 8)
    key.chmod(0o600)
    files = {"key-file": key, "socket": folder / "munge.socket", "pid-file": folder / "munge.pid"}
    files |= {"seed-file": folder / "munge.seed", "log-file": folder / "munge.log"}
    options = [f"--{name}={file}" for name, file in files.items()]
    return ["munged", "--foreground", "--force", *options]


def _start_node(folder: Path, number: int) -> str:
    conf = f"{folder}/slurm.conf"
    return f"SLURM_CONF={conf} slurmd -N n{number} -f {conf} < /dev/null > /dev/null 2>&1"


def _daemon(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    with (folder / f"{words[0]}-output.log").open("wb") as output:
        return subprocess.Popen(words, stdout=output, stderr=output, env=_environment(folder))


def _environment(folder: Path) -> dict[str, str]:
    return {"PATH": _PATH, "SLURM_CONF": f"{folder}/slurm.conf", "HOME": str(folder)}


def _ssh(machine: Machine, key: Path, command: str) -> None:
    options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-i", key]
    path = f"export PATH={_PATH}; "
    subprocess.run(
        ["ssh", *options, f"root@{machine.address}", path + command],
        capture_output=True,
        timeout=60,
        check=False,
    )


def _until(condition: object, what: str, seconds: float = 60) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not start"
        time.sleep(0.2)
