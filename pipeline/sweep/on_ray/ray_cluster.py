"""The Ray cluster of a sweep: the one that runs here, or at RAY_ADDRESS, or one of its own."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pipeline.sweep.on_ray.ray_settings  # noqa: F401 — before Ray

# isort: split
import ray
from ray._private.services import find_bootstrap_address
from ray._private.thirdparty import pynvml as nvml
from ray.exceptions import GetTimeoutError

from pipeline.sweep.on_ray.local_ray import (
    check_temporary_folder,
    native_messages_muted,
    use_own_token,
)
from pipeline.sweep.on_ray.local_resources import usable_cpus, visible_gpus
from pipeline.sweep.on_ray.other_users import refuse_other_users


@contextmanager
def joined() -> Iterator[int]:
    """Join the Ray cluster of this machine (or of RAY_ADDRESS), or start one; gives its CPUs.

    Raises:
        ValueError: if there is one that cannot be joined.
    """
    address = _address()
    if address == "local":
        check_temporary_folder()
        use_own_token()
    else:
        if address != "auto":
            _refuse_silent(address)
        refuse_other_users(address if address != "auto" else find_bootstrap_address(None) or "")
    cpus, gpus = _own_resources() if address == "local" else (None, None)
    try:
        with native_messages_muted() if address != "local" else nullcontext():
            ray.init(
                address=address,
                num_cpus=cpus,
                num_gpus=gpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except Exception as error:  # Ray raises whatever its parts raise
        raise ValueError(f"Ray: {_why_not(error, address)}") from None
    try:
        if address != "local":
            _announce()
            _refuse_without_actors()
        yield int(ray.cluster_resources().get("CPU", 1))
    finally:
        ray.shutdown()


def _own_resources() -> tuple[int, int | None]:
    """CPUs and GPUs of a cluster of this machine alone: those that this process may use.

    GPUs are left to Ray (None) where CUDA_VISIBLE_DEVICES does not choose among them.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return usable_cpus(), None if chosen is None else visible_gpus(chosen, _cards())


def _cards() -> list[str]:
    """The UUIDs of this machine's NVIDIA cards."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return []
    handles = map(nvml.nvmlDeviceGetHandleByIndex, range(nvml.nvmlDeviceGetCount()))
    found = [nvml.nvmlDeviceGetUUID(handle) for handle in handles]
    nvml.nvmlShutdown()
    return [uuid.decode() if isinstance(uuid, bytes) else uuid for uuid in found]


def _why_not(error: Exception, address: str) -> str:
    """Why Ray did not start, or the cluster could not be joined, in a line."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if address == "local":
        return f"could not start on this machine: {reason}"
    advice = "RAY_ADDRESS names a cluster, RAY_ADDRESS=local starts one on this machine"
    if address != "auto" and "RAY_AUTH_MODE" not in os.environ:
        advice = f"if it asks for a token, set RAY_AUTH_MODE=token; {advice}"
    where = "of this machine" if address == "auto" else f"at {address}"
    return f"the cluster {where} cannot be joined: {reason[:300]}; {advice}"


def _announce() -> None:
    """Say that cells will run on machines which are not only ours."""
    have = ray.cluster_resources()
    nodes = sum(node["Alive"] for node in ray.nodes())
    size = f"{nodes} nodes, {have.get('CPU', 0):g} CPUs, {have.get('GPU', 0):g} GPUs"
    address = ray.get_runtime_context().gcs_address
    print(f"joined the Ray cluster at {address} ({size})", file=sys.stderr)


def joins_a_cluster() -> bool:
    """Whether `joined` would join one that is there, in place of starting one here."""
    return _address() != "local"


def _address() -> str:
    return os.environ.get("RAY_ADDRESS") or _running() or "local"


def _refuse_silent(address: str) -> None:
    """Ray waits for many minutes for a cluster that does not answer."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return  # Ray says what an address must be
    try:
        _connect(host, port, timeout=5)
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"RAY_ADDRESS: nothing answers at {address} ({error}); name a cluster that runs, or "
            "unset it to start one on this machine"
        ) from None


def _connect(host: str, port: str, timeout: float) -> None:
    socket.create_connection((host, int(port)), timeout).close()


_ACTOR_STARTS_WITHIN = 60
"""Seconds; a cluster may have to start a machine for it, which then is no refusal."""


def _refuse_without_actors() -> None:
    """A cluster without a token runs no actor for a user who has one, and calls the actor lost.

    Raises:
        ValueError: if an actor that needs nothing does not run.
    """
    starts: Any = ray.remote(num_cpus=0)(_Nothing)
    actor = starts.remote()
    try:
        ray.get(actor.answer.remote(), timeout=_ACTOR_STARTS_WITHIN)
    except GetTimeoutError:
        return
    except Exception as error:  # Ray raises whatever its parts raise
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"Ray: the cluster starts no actors for this user ({reason}); if it was started "
            "without a token, set RAY_AUTH_MODE=disabled"
        ) from None


class _Nothing:
    def answer(self) -> None:
        pass


def _running() -> str | None:
    """``auto`` if the cluster that was last started on this machine still answers.

    Ray leaves the address of one that was killed in place, and waits minutes for it. By its address
    it could not be joined where it asks for a token: only for ``auto`` Ray looks for one.
    """
    address = find_bootstrap_address(None)
    if not address:
        return None
    host, _, port = address.rpartition(":")
    try:
        _connect(host, port, timeout=2)
    except OSError:
        return None
    return "auto"
