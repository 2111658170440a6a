"""Several machines on one: what a cluster sees of another machine, made of Linux namespaces.

Each has an address, an SSH server, processes, a home folder and a `/tmp/ray` of its own; the
rest of the disk is common. Needs root, iproute2, util-linux, rsync and an SSH server and client.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SUBNET = "10.213.77"
_BRIDGE = "normscope0"
_TOOLS = ("ip", "unshare", "mount", "ssh", "sshd", "ssh-keygen", "rsync")
_ENVIRONMENT = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}


@dataclass(frozen=True)
class Machine:
    """A running machine: its address, its folder (with ``home`` in it) and its first process."""

    address: str
    folder: Path
    first: subprocess.Popen[bytes]

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def kill(self) -> None:
        """End every process on it at once, as a machine that is taken away."""
        self.first.kill()  # the first process of a namespace takes all others with it
        self.first.wait()


def why_not() -> str | None:
    """The reason why there can be no such machines here, if so."""
    if os.geteuid() != 0:
        return "needs root, for network namespaces"
    absent = [tool for tool in _TOOLS if shutil.which(tool, path=_ENVIRONMENT["PATH"]) is None]
    if absent:
        return f"needs the commands {', '.join(absent)}"
    for words in (
        ("ip", "link", "add", _BRIDGE, "type", "bridge"),
        ("ip", "netns", "add", _BRIDGE),
    ):
        tried = subprocess.run(words, capture_output=True, text=True, env=_ENVIRONMENT)
        subprocess.run([*words[:2], "delete", _BRIDGE], capture_output=True, env=_ENVIRONMENT)
        if tried.returncode:
            return f"needs network namespaces: {tried.stderr.strip()}"
    return None


@contextmanager
def machines(folder: Path, count: int, key: Path) -> Iterator[list[Machine]]:
    """Start machines which let in the owner of a new private ``key``; all of it ends at the end."""
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    made: list[Machine] = []
    try:
        _run("ip", "link", "add", _BRIDGE, "type", "bridge")
        _run("ip", "address", "add", f"{_SUBNET}.1/24", "dev", _BRIDGE)
        _run("ip", "link", "set", _BRIDGE, "up")
        for number in range(count):
            made += [_machine(folder / f"machine-{number}", number, key)]  # one by one, for the end
        yield made
    finally:
        for machine in made:
            machine.kill()
        for number in range(count):
            _try("ip", "link", "delete", f"normscope-v{number}")  # with its namespace, but later
            _try("ip", "netns", "delete", f"{_BRIDGE}-{number}")
        _try("ip", "link", "delete", _BRIDGE)


def _machine(folder: Path, number: int, key: Path) -> Machine:
    name, address = f"{_BRIDGE}-{number}", f"{_SUBNET}.{number + 2}"
    outer, inside = f"normscope-v{number}", ("ip", "-n", name)
    _run("ip", "netns", "add", name)
    _run("ip", "link", "add", outer, "type", "veth", "peer", "eth0", "netns", name)
    _run("ip", "link", "set", outer, "master", _BRIDGE, "up")
    _run(*inside, "address", "add", f"{address}/24", "dev", "eth0")
    for device in ("eth0", "lo"):
        _run(*inside, "link", "set", device, "up")
    return Machine(address, folder, _boot(folder, name, address, key))


def _boot(folder: Path, name: str, address: str, key: Path) -> subprocess.Popen[bytes]:
    """Start the machine's first process: its SSH server."""
    for part in ("home/.ssh", "tmp-ray"):
        (folder / part).mkdir(parents=True)
    (folder / "home/.ssh/authorized_keys").write_bytes(key.with_suffix(".pub").read_bytes())
    host_key, config = folder / "host-key", folder / "sshd_config"
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(host_key))
    config.write_text(
        f"ListenAddress {address}:22\nHostKey {host_key}\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {folder}/home/.ssh/authorized_keys\nStrictModes no\n"
        f"PasswordAuthentication no\nPermitRootLogin prohibit-password\nMaxStartups 100\n"
    )
    (folder / "passwd").write_text(f"root:x:0:0:root:{folder}/home:/bin/bash\n{_privileges()}")
    for shared in ("/run/sshd", "/tmp/ray"):
        Path(shared).mkdir(exist_ok=True)
    server = shutil.which("sshd", path=_ENVIRONMENT["PATH"])
    script = (
        f"mount --bind {folder}/tmp-ray /tmp/ray && mount --bind {folder}/passwd /etc/passwd && "
        f"exec {server} -D -E {folder}/sshd.log -f {config}"
    )
    namespaces = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return subprocess.Popen(
        ["ip", "netns", "exec", name, "unshare", *namespaces, "sh", "-c", script], env=_ENVIRONMENT
    )


def _privileges() -> str:
    """The account under which the SSH server talks to strangers."""
    lines = Path("/etc/passwd").read_text().splitlines(keepends=True)
    return "".join(line for line in lines if line.startswith("sshd:"))


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, env=_ENVIRONMENT)


def _try(*words: str) -> None:
    subprocess.run(words, check=False, capture_output=True, env=_ENVIRONMENT)
