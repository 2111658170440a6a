"""A Ray cluster of another user on this machine, which cannot be joined."""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROCESSES = Path("/proc")


@dataclass(frozen=True)
class _Node:
    """A Ray node that runs on this machine."""

    cluster: str
    """Host and port of its cluster."""
    socket: str
    user: int


def refuse_other_users(address: str) -> None:
    """Refuse a cluster whose node on this machine lets only its own user in.

    A driver talks to the node by a socket that only the node's user may write. Where it may not,
    Ray's native code aborts the process: there is no exception that could say why.

    Args:
        address: host and port of the cluster.

    Raises:
        ValueError: with whose cluster it is, and what to do.
    """
    nodes = [node for node in _nodes() if _is_same(address, node.cluster)]
    if nodes and not any(map(_lets_in, nodes)):
        raise ValueError(
            f"Ray: the cluster at {address} belongs to user {_name(nodes[0].user)} of this machine,"
            " whom alone it lets in; RAY_ADDRESS=local starts one of your own"
        )


def _nodes() -> Iterator[_Node]:
    for process in _PROCESSES.glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile, or is hidden
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            flags = {name: value for name, _, value in (word.partition("=") for word in words)}
            if "--raylet_socket_name" in flags and "--gcs-address" in flags:
                user = process.stat().st_uid
                yield _Node(flags["--gcs-address"], flags["--raylet_socket_name"], user)


def _lets_in(node: _Node) -> bool:
    return node.user == os.geteuid() or os.access(node.socket, os.W_OK)


def _is_same(address: str, cluster: str) -> bool:
    """Whether an address as a user writes it is that of a cluster which has a node here."""
    (host, _, port), (own, _, own_port) = address.rpartition(":"), cluster.rpartition(":")
    where = _number(host)
    return port == own_port and (where.startswith("127.") or where == _number(own))


def _number(host: str) -> str:
    try:
        return socket.gethostbyname(host)
    except (OSError, UnicodeError):
        return host


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
