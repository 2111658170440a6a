"""Whether every machine of a cluster sees the store: asked before the first cell runs.

A folder that only the driver's machine has, or memory that only its process has, would take no
result: every cell would be trained, and lost.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from pipeline.cli import redact
from pipeline.store import Store, StoreError

UNSEEN = "does not see the store"
_ADVICE = "give --storage a place that every machine sees: a folder that all mount, or s3://…"
_PATIENCE = 120.0
"""Seconds in which a node starts a process that looks; one under load takes several."""


def refuse_memory(store: Store) -> None:
    """Refuse a store in the driver's own memory.

    Raises:
        ValueError: if the store is one.
    """
    if "memory" in store.filesystem.protocol:
        raise ValueError(f"--storage {store.uri}: cells run in other processes; {_ADVICE}")


def refuse_unseen(store: Store, sweep: str, lease: str) -> None:
    """Have each node read the driver's lease from the store; one that cannot is named.

    The node of the driver is not asked about a local folder, which saves a single machine the time.

    Args:
        store: where the driver holds its lease.
        sweep: whose lease it is.
        lease: the lease's id, which no other driver has written.

    Raises:
        ValueError: if a node does not see the store.
    """
    import ray

    nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    if isinstance(store.filesystem, LocalFileSystem):
        nodes.pop(ray.get_runtime_context().get_node_id(), None)
    asked = [(address, _ask(node, store.uri, sweep, lease)) for node, address in nodes.items()]
    for address, answer in asked:
        if problem := _answer(answer):
            raise ValueError(f"--storage {redact(store.uri)}: node {address} {problem}; {_ADVICE}")


def _ask(node: str, uri: str, sweep: str, lease: str) -> Any:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    where: Any = NodeAffinitySchedulingStrategy(node, soft=False)
    look: Any = ray.remote(num_cpus=0, scheduling_strategy=where)(_look)
    return look.remote(uri, sweep, lease)


def _look(uri: str, sweep: str, lease: str) -> str:
    return unseen(uri, sweep, lease)  # Ray takes a plain function only


def _answer(answer: Any) -> str:
    """What a node has to say; a node that has gone meanwhile says nothing, and runs nothing."""
    import ray
    from ray.exceptions import GetTimeoutError, RayError, RayTaskError

    try:
        return ray.get(answer, timeout=_PATIENCE)
    except GetTimeoutError:
        return f"did not answer within {_PATIENCE:g} s"
    except RayTaskError as error:
        return f"cannot run this code: {' '.join(str(error.cause or error).split())[:300]}"
    except RayError:
        return ""


@cache
def unseen(uri: str, sweep: str, lease: str) -> str:
    """Why this process does not see the store in which a driver holds its lease; empty if it does.

    Asked once a process: a node may join a cluster after the driver has looked.
    """
    try:
        found = Store(uri).lease(sweep)
    except StoreError as error:
        return f"{UNSEEN}: {error}"
    if found is None or found["id"] != lease:
        return f"{UNSEEN}: the driver's file is not there"
    return ""
