"""A way to the dashboard of a `ray up` cluster, which listens on the head's loopback, over SSH."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_DASHBOARD_PORT = 8265
_PATIENCE = 60.0
"""Seconds in which SSH has to come up."""


@contextmanager
def tunnel(cluster_file: str) -> Iterator[str]:
    """Forward a local port to the head's dashboard; gives its address.

    `ray dashboard` knows the head's address and the key that `ray up` may have made.

    Raises:
        ValueError: if there is no such cluster, or SSH does not get there.
    """
    port = _free_port()
    ray = Path(sys.executable).with_name("ray")
    command = [ray, "dashboard", cluster_file, "--port", port, "--remote-port", _DASHBOARD_PORT]
    with tempfile.TemporaryFile("w+") as output:
        # In a session of its own: Ctrl-C here is for us to answer, and we need the way for it.
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait(process, port, cluster_file, output)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, cluster_file: str, output: IO[str]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    output.seek(0)
    last = output.read().strip().splitlines()[-1:] or ["SSH did not answer"]
    raise ValueError(
        f"--cluster {cluster_file}: no way to the head; `ray up` it first ({last[0].strip()})"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
