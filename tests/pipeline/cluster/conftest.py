"""What the tests of clusters share: a sweep, a checkout to send away, a head with a job server."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
RAY = Path(sys.executable).with_name("ray")
OBJECT_STORE = "100000000"


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean git checkout of the code as it is in this folder."""
    folder = tmp_path_factory.mktemp("checkout") / "normscope"
    caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "pipeline", folder / "pipeline", ignore=caches)
    shutil.copyfile(ROOT / "requirements.lock", folder / "requirements.lock")
    (folder / ".gitignore").write_text("__pycache__/\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "code"]):
        who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
        subprocess.run(["git", *who, *words], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="session")
def head() -> Iterator[tuple[str, dict[str, str]]]:
    """A Ray head of its own with a job server, and two CPUs.

    Gives the dashboard's address, and the environment of those who may use it.
    """
    folder = tempfile.mkdtemp(prefix="ns", dir="/tmp")  # a socket's path has to be short
    gcs, dashboard, client, agent = free_ports(4)
    options = {
        "--port": gcs,
        "--dashboard-port": dashboard,
        "--ray-client-server-port": client,
        "--dashboard-agent-listen-port": agent,
        "--dashboard-host": "127.0.0.1",
        "--node-ip-address": "127.0.0.1",
        "--num-cpus": 2,
        "--num-gpus": 0,
        "--object-store-memory": OBJECT_STORE,
        "--temp-dir": folder,
    }
    words = [f"{name}={value}" for name, value in options.items()]
    token = Path(folder) / "token"
    token.write_text(secrets.token_hex(32))
    authentication = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    environment = {**os.environ, **authentication, "PATH": f"{RAY.parent}:{os.environ['PATH']}"}
    process = subprocess.Popen(
        [str(RAY), "start", "--head", "--block", "--disable-usage-stats", *words],
        env=environment,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_jobs(f"http://127.0.0.1:{dashboard}", process)
        yield f"http://127.0.0.1:{dashboard}", {**os.environ, **authentication}
    finally:
        end(process)
        shutil.rmtree(folder, ignore_errors=True)


def end(process: subprocess.Popen[Any]) -> None:
    """Kill a process and all that it has started."""
    below = descendants(process.pid)
    process.kill()
    process.wait()
    for pid in below:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    listed = [file.read_text().split() for file in Path(f"/proc/{pid}/task").glob("*/children")]
    children = [int(child) for each in listed for child in each]
    return children + [below for child in children for below in descendants(child)]


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def wait_for_jobs(address: str, head: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert head.poll() is None, "the head ended"
        try:
            with urllib.request.urlopen(f"{address}/api/version", timeout=5):
                pytest.fail("the head lets in whoever has no token")
        except urllib.error.HTTPError as error:
            if error.code != 401:
                raise
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail("the head's job server did not come up")
