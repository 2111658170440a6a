"""Ray's start: what this machine lacks for it, and clusters that cannot be joined."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import GetTimeoutError, RayActorError

from pipeline.cli.signals import STOPPING
from pipeline.sweep.on_ray import local_ray, ray_cluster
from pipeline.sweep.on_ray.local_ray import check_temporary_folder, use_own_token
from tests.helpers.stores.cells import REGRESSION, sweep_content

ROOT = Path(__file__).parents[3]
NO_TOKEN = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_TMPDIR", "RAY_ADDRESS")


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in NO_TOKEN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", "/tmp")


# A folder for Ray's sockets -----------------------------------------------------------------------


def test_a_usual_folder_is_fine() -> None:
    check_temporary_folder()


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_a_path_that_sockets_cannot_have_is_named(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, f"/tmp/{'x' * 120}")
    with pytest.raises(ValueError, match=f"^{name}: /tmp/x+ is too long.*set RAY_TMPDIR"):
        check_temporary_folder()
    assert not Path(f"/tmp/{'x' * 120}").exists()


def test_the_longest_path_is_what_ray_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray names its session after the time and its process, and its sockets below that."""
    longest = local_ray._LONGEST - len(f"/{local_ray._SOCKET}")
    monkeypatch.setattr(Path, "mkdir", lambda *given, **options: None)
    monkeypatch.setenv("TMPDIR", "/" + "x" * longest)
    with pytest.raises(ValueError, match="is too long"):
        check_temporary_folder()
    monkeypatch.setenv("TMPDIR", "/" + "x" * (longest - 1))
    with pytest.raises(ValueError, match="cannot be used by Ray: No such file"):
        check_temporary_folder()


def test_a_folder_that_is_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", "f")
    with pytest.raises(ValueError, match="TMPDIR: f cannot be used by Ray: Not a directory"):
        check_temporary_folder()


def test_where_another_user_has_ray_s_folder_the_advice_is_a_folder_of_one_s_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*given: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied", "/tmp/ray")

    monkeypatch.setattr(Path, "mkdir", refuse)
    said = r"/tmp cannot be used by Ray: Permission denied; set RAY_TMPDIR to .*, as /tmp/\$USER$"
    with pytest.raises(ValueError, match=said):
        check_temporary_folder()


def test_a_full_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        f_bavail, f_frsize = 3, 2**20

    monkeypatch.setattr("os.statvfs", lambda path: Full)
    with pytest.raises(ValueError, match=r"/tmp is full \(3.0 MiB left, Ray needs 50\); set RAY_"):
        check_temporary_folder()


# A token ------------------------------------------------------------------------------------------


def test_a_cluster_here_has_a_token_that_touches_no_home(tmp_path: Path) -> None:
    use_own_token()
    try:
        assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
        assert list(tmp_path.iterdir()) == []
    finally:
        del os.environ["RAY_AUTH_TOKEN"]


@pytest.mark.parametrize("name", ["RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "file"])
def test_what_the_user_has_is_used(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "file":
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray/auth_token").touch()
    else:
        monkeypatch.setenv(name, "given")
    use_own_token()
    assert "RAY_AUTH_TOKEN" not in os.environ


def test_the_command_names_a_folder_that_is_too_long_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(json.dumps(sweep_content(REGRESSION)))
    environment = {**os.environ, "RAY_TMPDIR": str(tmp_path / ("x" * 100)), "RAY_ADDRESS": "local"}
    words = ["pipeline.sweep", str(file), "--storage", str(tmp_path / "r"), "--tracking", "none"]
    done = subprocess.run(
        [sys.executable, "-m", *words], env=environment, capture_output=True, text=True, cwd=ROOT
    )
    assert (done.returncode, done.stdout) == (2, "")
    first, second = done.stderr.splitlines()
    assert first == "one: 1 cells to run, 0 done"
    assert second.startswith("RAY_TMPDIR: ")


# Clusters -----------------------------------------------------------------------------------------

MISMATCH = """Version mismatch: The cluster was started with:
    Ray: 2.9.0
    Python: 3.10.1
This process was started with:
    Ray: 2.60.0"""


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("10.0.0.1:6379", ConnectionError("no answer"), "the cluster at 10.0.0.1:6379 cannot be j"),
        (
            "10.0.0.1:6379",
            ConnectionError("no answer"),
            "if it asks for a token, set RAY_AUTH_MODE",
        ),
        (
            "auto",
            RuntimeError(MISMATCH),
            "of this machine cannot be joined: Version mismatch: The ",
        ),
        ("auto", RuntimeError(MISMATCH), "started with: Ray: 2.9.0 Python: 3.10.1 This process"),
        (
            "auto",
            RuntimeError(MISMATCH),
            "; RAY_ADDRESS names a cluster, RAY_ADDRESS=local starts ",
        ),
        ("local", RuntimeError(""), "could not start on this machine: RuntimeError"),
        (
            "local",
            OSError(28, "No space left"),
            "could not start on this machine: [Errno 28] No sp",
        ),
    ],
)
def test_why_ray_does_not_run_is_one_line(
    address: str, error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**options: Any) -> None:
        raise error

    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "given")
    monkeypatch.setattr("ray.init", fail)
    monkeypatch.setattr(ray_cluster, "_refuse_silent", lambda address: None)
    with pytest.raises(ValueError, match=r"^Ray: ") as caught, ray_cluster.joined():
        raise AssertionError
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_joining_a_cluster_is_announced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Context:
        gcs_address = "10.0.0.1:6379"

    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    monkeypatch.setattr("ray.init", lambda **options: None)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 64.0, "GPU": 8.0})
    monkeypatch.setattr("ray.nodes", lambda: [{"Alive": True}, {"Alive": True}, {"Alive": False}])
    monkeypatch.setattr("ray.get_runtime_context", Context)
    asked: list[str] = []
    monkeypatch.setattr(ray_cluster, "_refuse_silent", asked.append)
    monkeypatch.setattr(ray_cluster, "_refuse_without_actors", lambda: asked.append("actors"))
    with ray_cluster.joined() as cpus:
        assert cpus == 64
    said = "joined the Ray cluster at 10.0.0.1:6379 (2 nodes, 64 CPUs, 8 GPUs)\n"
    assert capsys.readouterr().err == said
    assert asked == ["10.0.0.1:6379", "actors"]


class _Actor:
    """What Ray gives for the class of an actor, and for the actor."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.answer = self

    def __call__(self, *_: Any) -> _Actor:
        return self

    def remote(self) -> _Actor:
        return self


@pytest.mark.parametrize("late", [False, True])
def test_a_cluster_that_starts_no_actor_is_refused(
    late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no token and this user has one. One that is only late may be starting a machine."""

    def get(*_: Any, **__: Any) -> None:
        raise GetTimeoutError if late else RayActorError

    monkeypatch.setattr("ray.remote", _Actor)
    monkeypatch.setattr("ray.get", get)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    refused = pytest.raises(ValueError, match=r"starts no actors for this user .* RAY_AUTH_MODE")
    with nullcontext() if late else refused:
        ray_cluster._refuse_without_actors()


def test_native_messages_are_muted_and_the_answer_to_ctrl_c_is_not() -> None:
    code = (
        "import os, signal\n"
        "from pipeline.cli.signals import graceful_shutdown\n"
        "from pipeline.sweep.on_ray.local_ray import native_messages_muted\n"
        "try:\n"
        "    with graceful_shutdown(), native_messages_muted():\n"
        "        os.write(2, b'a try\\n')\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "except KeyboardInterrupt:\n"
        "    os.write(2, b'after\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == f"\n{STOPPING}\nafter\n"


# A folder and an address that Ray would wait for --------------------------------------------------


def test_an_empty_folder_is_none_and_a_relative_one_is_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", " ")
    check_temporary_folder()
    assert "RAY_TMPDIR" not in os.environ
    monkeypatch.chdir("/tmp")
    monkeypatch.setenv("RAY_TMPDIR", os.path.relpath(tmp_path, "/tmp"))
    with pytest.raises(ValueError, match="too long") if len(str(tmp_path)) > 40 else nullcontext():
        check_temporary_folder()
    assert os.environ["RAY_TMPDIR"] == str(tmp_path)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:99999"])
def test_an_address_where_nobody_listens_is_refused_at_once(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ValueError, match=f"nothing answers at {address}"), ray_cluster.joined():
        pass
