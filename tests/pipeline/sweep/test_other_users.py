"""A Ray cluster of another user on this machine is refused by name, before Ray aborts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.sweep.on_ray import other_users, ray_cluster
from pipeline.sweep.on_ray.other_users import refuse_other_users


@pytest.fixture
def _node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes: a Ray node of cluster 127.0.0.2:6379, whose socket may not be written."""
    node = ["raylet", "--raylet_socket_name=/tmp/s", "--gcs-address=127.0.0.2:6379", "-x"]
    for number, words in (("12", node), ("7", ["bash", "-c", "a=b"])):
        (tmp_path / number).mkdir()
        (tmp_path / number / "cmdline").write_bytes("\0".join(words).encode() + b"\0")
    (tmp_path / "8").mkdir()  # has ended meanwhile
    monkeypatch.setattr(other_users, "_PROCESSES", tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: path != "/tmp/s")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)


@pytest.mark.usefixtures("_node")
@pytest.mark.parametrize("address", ["127.0.0.2:6379", "localhost:6379"])
def test_another_user_s_cluster_is_refused(address: str) -> None:
    who = Path("/proc/self").owner()
    said = f"^Ray: the cluster at {address} belongs to user {who} of this machine, .*=local starts"
    with pytest.raises(ValueError, match=said):
        refuse_other_users(address)


@pytest.mark.usefixtures("_node")
@pytest.mark.parametrize("address", ["", "127.0.0.2:6380", "10.9.9.9:6379", "ray://10.9.9.9:10001"])
def test_another_address_is_none_of_that_cluster(address: str) -> None:
    refuse_other_users(address)


@pytest.mark.usefixtures("_node")
@pytest.mark.parametrize(("name", "answer"), [("access", True), ("geteuid", os.getuid())])
def test_a_cluster_that_lets_one_in_can_be_joined(
    name: str, answer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its socket may be written; or it is one's own, in a container that hides the socket."""
    monkeypatch.setattr(os, name, lambda *_: answer)
    refuse_other_users("127.0.0.2:6379")


@pytest.mark.usefixtures("_node")
@pytest.mark.parametrize("how", ["auto", "named"])
def test_a_sweep_does_not_try_to_join_it(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if how == "named":
        monkeypatch.setenv("RAY_ADDRESS", "127.0.0.2:6379")
    monkeypatch.setattr(ray_cluster, "find_bootstrap_address", lambda folder: "127.0.0.2:6379")
    monkeypatch.setattr(ray_cluster, "_connect", lambda host, port, timeout: None)
    monkeypatch.setattr("ray.init", pytest.fail)
    with pytest.raises(ValueError, match="belongs to user"), ray_cluster.joined():
        pass
