"""cluster.yaml tried for real: `ray up` over SSH onto three machines, one of which is taken away.

The machines are namespaces of this one (`machines.py`). The file is cluster.yaml itself, its cloud
replaced: other addresses, a folder and a SQLite file for S3 and the database, this environment for
one that is downloaded. Who starts the workers is Ray's autoscaler, from the head, over SSH.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

from tests.helpers.machines.cluster_sweeps import results, wait, write_sweep
from tests.helpers.machines.network_namespaces import Machine, machines, why_not
from tests.pipeline.cluster.conftest import OBJECT_STORE, RAY, ROOT

CELLS = 8


@dataclass(frozen=True)
class Site:
    """A running cluster: its machines, the head first, its file, and where results go."""

    machines: list[Machine]
    file: Path
    storage: Path
    environment: dict[str, str]
    """Of whoever uses the cluster from outside."""

    def ray(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [RAY, *words], env=self.environment, capture_output=True, text=True, timeout=300
        )

    def alive(self) -> set[str]:
        """The addresses of the nodes that Ray knows."""
        command = ". ~/normscope.env; ray list nodes --filter state=ALIVE"
        listed = self.ray("exec", "--no-config-cache", str(self.file), command).stdout
        return {m.address for m in self.machines if f" {m.address} " in listed}


@pytest.fixture
def site(tmp_path: Path, checkout: Path) -> Iterator[Site]:
    if reason := why_not():
        pytest.skip(reason)
    token, key = tmp_path / "token", tmp_path / "key"
    token.write_text(secrets.token_hex(32))
    file, storage = tmp_path / "cluster.yaml", tmp_path / "shared/results"
    storage.mkdir(parents=True)
    outside = {"RAY_TMPDIR": str(tmp_path), "RAY_AUTH_TOKEN_PATH": str(token)}
    with machines(tmp_path, 3, key) as made:
        content = at_home(made, key, token, checkout, storage.parent)
        file.write_text(yaml.safe_dump(content, width=1000))
        yield Site(made, file, storage, {**os.environ, "RAY_AUTH_MODE": "token", **outside})


def at_home(
    made: list[Machine], key: Path, token: Path, checkout: Path, shared: Path
) -> dict[str, Any]:
    """cluster.yaml for machines of one's own."""
    content = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    del content["available_node_types"], content["head_node_type"]
    addresses = [machine.address for machine in made]
    content["cluster_name"] = f"normscope-test-{os.getpid()}"
    content["max_workers"] = len(made) - 1
    content["provider"] = {"type": "local", "head_ip": addresses[0], "worker_ips": addresses[1:]}
    content["auth"] = {"ssh_user": "root", "ssh_private_key": str(key)}
    content["file_mounts"] = {
        "~/normscope.git": str(checkout / ".git"),
        "~/.ray/auth_token": str(token),
    }
    replace(content["setup_commands"], "apt-get", "true")
    linked = f"ln -sfn {ROOT}/.venv ~/normscope/.venv && : for make .venv/ready"
    replace(content["setup_commands"], "make", linked)
    replace(
        content["head_setup_commands"],
        "get_caller_identity",
        f"printf 'export %s\\n' NORMSCOPE_STORAGE={shared}/results "
        f"MLFLOW_ARTIFACTS_DESTINATION={shared}/artifacts >> ~/normscope.env",
    )
    replace(content["head_setup_commands"], "/etc/hosts", "true")
    edit(
        content,
        "head_start_ray_commands",
        r"\$\(python -c.*?\)'\)",
        f"sqlite:///{shared}/mlflow.db",
    )
    limits = f"--object-store-memory={OBJECT_STORE} --disable-usage-stats"
    # The newer autoscaler starts only the first of a list of machines (Ray 2.60).
    start = f"RAY_enable_autoscaler_v2=0 ray start {limits}"
    edit(content, "head_start_ray_commands", r"ray start", start)
    edit(content, "worker_start_ray_commands", r"ray start", f"ray start {limits} --num-cpus=1")
    return content


def replace(commands: list[str], word: str, by: str) -> None:
    """Put another command in the place of the only one with a word in it."""
    (place,) = [number for number, command in enumerate(commands) if word in command]
    commands[place] = by


def edit(content: dict[str, Any], commands: str, pattern: str, by: str) -> None:
    """Change the only place in a list of commands that matches a pattern."""
    before = "\0".join(content[commands])
    after, count = re.subn(pattern, by, before)
    assert count == 1, (commands, pattern, before)
    content[commands] = after.split("\0")


@pytest.mark.cluster
def test_a_sweep_from_outside_ends_though_a_machine_is_taken_away(
    site: Site, checkout: Path, tmp_path: Path
) -> None:
    up = site.ray("up", "--yes", "--no-config-cache", str(site.file))
    assert up.returncode == 0, up.stdout + up.stderr

    addresses = {machine.address for machine in site.machines}
    wait(lambda: site.alive() == addresses, "the autoscaler did not start the workers")

    file, said = write_sweep(tmp_path, cells=CELLS, steps=3000), tmp_path / "said"
    command = [sys.executable, "-m", "pipeline.sweep", str(file), "--cluster", str(site.file)]
    with said.open("wb") as output:
        laptop = subprocess.Popen(command, cwd=checkout, env=site.environment, stderr=output)
    wait(lambda: results(site.storage) or laptop.poll() is not None, "no cell finished")
    kept = results(site.storage)
    assert 0 < len(kept) < CELLS - 2, said.read_text()
    site.machines[2].kill()

    assert laptop.wait(timeout=300) == 0, said.read_text()
    after = results(site.storage)
    assert len(after) == CELLS
    assert {cell: after[cell] for cell in kept} == kept
    assert site.alive() == addresses - {site.machines[2].address}
    client = MlflowClient(f"http://{site.machines[0].address}:5000")
    experiment = client.get_experiment_by_name("there")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'")
    assert {run.data.tags.get("cell_id") for run in runs} >= set(after)
