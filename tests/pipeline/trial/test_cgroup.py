"""Memory limits of control groups: read from trees of files, and met in real groups."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

import pytest

from pipeline.spec.read import Resources
from pipeline.store.store import Store
from pipeline.sweep.on_ray import tune
from pipeline.training.local_notes import note_file
from pipeline.trial import cgroup
from pipeline.trial.cgroup import Space
from pipeline.trial.kernel_kill import traced
from tests.helpers.stores.cells import REGRESSION, cell

ROOT = Path(__file__).parents[3]
GIB = 2**30


def tree(root: Path, membership: str, files: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(membership)
    for name, content in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def v2(folder: str, limit: str, used: int, cache: int = 0, kills: int = 0) -> dict[str, str]:
    return {
        f"{folder}memory.max": f"{limit}\n",
        f"{folder}memory.current": f"{used}\n",
        f"{folder}memory.stat": f"anon 5\ninactive_file {cache}\nactive_file 7\n",
        f"{folder}memory.events": f"low 0\nhigh 0\nmax 9\noom 4\noom_kill {kills}\n",
    }


def v1(folder: str, limit: int, used: int, cache: int = 0, kills: int = 0) -> dict[str, str]:
    return {
        f"memory/{folder}memory.limit_in_bytes": f"{limit}\n",
        f"memory/{folder}memory.usage_in_bytes": f"{used}\n",
        f"memory/{folder}memory.stat": f"cache 1\ninactive_file 9\ntotal_inactive_file {cache}\n",
        f"memory/{folder}memory.oom_control": f"oom_kill_disable 0\noom_kill {kills}\n",
    }


def test_version_2_with_limits_at_two_levels(tmp_path: Path) -> None:
    job, step = v2("job/", str(8 * GIB), 4 * GIB, GIB), v2("job/step/", "max", 3 * GIB, kills=2)
    root = tree(tmp_path, "0::/job/step\n", {**job, **step})
    folder = tmp_path / "sys/fs/cgroup/job"
    assert cgroup.spaces(root) == [Space(f"cgroup {folder}", 8 * GIB, 5 * GIB)]
    assert cgroup.kills(root) == (f"{folder}/step", 2)


def test_version_1_beside_an_empty_version_2(tmp_path: Path) -> None:
    files = {**v1("", 2**63 - 4096, 9 * GIB), **v1("slurm/job/", 4 * GIB, 3 * GIB, GIB, kills=1)}
    membership = "9:name=systemd:/\n4:cpu,memory:/slurm/job\n2:cpuacct:/x\n0::/\n"
    root = tree(tmp_path, membership, files)
    folder = tmp_path / "sys/fs/cgroup/memory/slurm/job"
    assert cgroup.spaces(root) == [Space(f"cgroup {folder}", 4 * GIB, 2 * GIB)]
    assert cgroup.kills(root) == (str(folder), 1)


@pytest.mark.parametrize("path", ["/docker/0123", "/../../kubepods/pod", "/"])
def test_a_container_sees_its_own_group_as_the_top(path: str, tmp_path: Path) -> None:
    root = tree(tmp_path, f"0::{path}\n", v2("", str(GIB), GIB // 2, kills=3))
    top = tmp_path / "sys/fs/cgroup"
    assert cgroup.spaces(root) == [Space(f"cgroup {top}", GIB, GIB // 2)]
    assert cgroup.kills(root) == (str(top), 3)


@pytest.mark.parametrize("membership", ["", "0::/\n", "4:memory:/gone\n"])
def test_no_group_no_limit(membership: str, tmp_path: Path) -> None:
    root = tree(tmp_path, membership, {})
    assert cgroup.spaces(root) == []
    assert cgroup.kills(root) is None
    assert cgroup.spaces(tmp_path / "no-linux") == []


# A worker that was killed -------------------------------------------------------------------------


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, int] | None]:
    """The group and its kills, as the kernel tells; the last one counts."""
    found: list[tuple[str, int] | None] = [("/group", 0)]
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(cgroup, "kills", lambda: found[-1])
    monkeypatch.setattr(cgroup, "spaces", lambda: [Space("cgroup /group", 4 * GIB, GIB)])
    return found


def leave_a_note(run: str, cell_id: str) -> None:
    """As a process does that is killed within: it does not come to remove its note."""
    context = traced(run, cell_id)
    context.__enter__()
    note = note_file(run, cell_id)
    content = note.read_text()
    context.__exit__(None, None, None)
    note.write_text(content)


@pytest.mark.parametrize(
    ("after", "run", "is_known"),
    [
        (("/group", 1), "run", True),
        (("/group", 0), "run", False),  # killed by hand, or with its machine's power
        (("/other", 5), "run", False),  # another machine's, or another job's group
        (None, "run", False),
        (("/group", 1), "later", False),
    ],
)
def test_a_killed_worker_s_successor_knows_why(
    after: tuple[str, int] | None,
    run: str,
    is_known: bool,
    count: list[tuple[str, int] | None],
) -> None:
    leave_a_note("run", "aa")
    count.append(after)
    with traced(run, "aa") as reason:
        assert reason.startswith("out of memory: the kernel killed its worker at") == is_known
        assert ("the memory limit (4.0 GiB) of /group; lower batch_size" in reason) == is_known
    with traced("run", "bb") as reason:
        assert reason == ""


def test_a_trial_that_comes_back_leaves_no_note(
    count: list[tuple[str, int] | None], tmp_path: Path
) -> None:
    with pytest.raises(ZeroDivisionError), traced("run", "aa"):
        raise ZeroDivisionError
    count.append(("/group", 1))
    with traced("run", "aa") as reason:
        assert reason == ""
    assert list(note_file("run", "aa").parent.iterdir()) == []


def test_a_cell_whose_worker_was_killed_at_its_limit_has_failed(
    count: list[tuple[str, int] | None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was lost, and tried again by every run of the sweep."""
    reported: list[dict[str, str]] = []
    monkeypatch.setattr("ray.tune.report", reported.append)
    store, known = Store(str(tmp_path / "store")), cell(REGRESSION)
    leave_a_note("", known.cell_id)
    count.append(("/group", 1))
    job = asdict(tune.Job("s", store.uri, Resources()))
    tune._trial({"cell": json.dumps(vars(known))}, job, 0.0)
    assert reported == [{"status": "failed"}]
    assert "the kernel killed its worker" in store.failure(known.cell_id)["error"]


# Real groups --------------------------------------------------------------------------------------


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of our own, with 200 MiB."""
    own = next((g.folder for g in cgroup._groups(Path("/")) if g.folder.is_dir()), None)
    if own is None:
        pytest.skip("needs control groups")
    folder = own / f"normscope-test-{uuid4().hex}"
    try:
        folder.mkdir()
        limit = next(n for n in ("memory.max", "memory.limit_in_bytes") if (folder / n).exists())
        (folder / limit).write_text(str(200 * 2**20))
    except (OSError, StopIteration) as error:
        pytest.skip(f"needs a memory control group that can be divided: {error!r}")
    yield folder
    folder.rmdir()


def run_within(group: Path, code: str, *words: str) -> subprocess.CompletedProcess[str]:
    enter = f"open({str(group / 'cgroup.procs')!r}, 'w').write('0')\n"
    return subprocess.run(
        [sys.executable, "-c", enter + code, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )


SLOW = """
import time
from pipeline.trial.memory_guard import kill_on_memory_pressure
hoard = []
with kill_on_memory_pressure(1, lambda said: print(said, flush=True)):
    while True:
        hoard.append(b"x" * 2**23)
        time.sleep(0.1)
"""


def test_a_process_that_fills_its_real_group_says_so_and_ends(group: Path) -> None:
    done = run_within(group, SLOW)
    assert done.returncode == 1, done
    assert done.stdout.startswith("out of memory: it had taken 0.")
    assert f"of the 0.2 GiB of its cgroup {group} and no more was left" in done.stdout


GREEDY = """
import sys
from pipeline.trial.kernel_kill import traced
from pipeline.training.local_notes import note_file
with traced(sys.argv[1], "aa") as reason:
    print(reason, flush=True)
    if not reason:
        print(len(b"x" * 2**29))
"""


def test_a_process_that_a_real_group_kills_is_explained_by_the_next_one(group: Path) -> None:
    run = uuid4().hex
    first, second = (run_within(group, GREEDY, run) for _ in range(2))
    assert (first.returncode, first.stdout) == (-9, "\n")
    assert second.returncode == 0, second.stderr
    assert second.stdout.startswith("out of memory: the kernel killed its worker at the memory li")
    assert str(group) in second.stdout
