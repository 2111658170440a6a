"""Parts of folders that are not ours: named, checked, part of a cell's id, carried to workers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.catalog import own_parts
from pipeline.catalog import registry as catalog
from pipeline.cluster.checkout import Checkout
from pipeline.cluster.job import entrypoint
from pipeline.contract.command import main as check
from pipeline.contract.rules import problems
from pipeline.data import Task
from pipeline.normalizers._ops.batch_norm import BatchNorm
from pipeline.spec.read import SpecError, read_sweep
from pipeline.store.store import Store
from pipeline.trial.run import run_trial
from tests.helpers.parts.own_part_files import FILES, folder, sweep


@pytest.fixture(autouse=True)
def unused() -> Iterator[None]:
    """No folder of another test, before and after."""
    own_parts.use([], Path())
    yield
    own_parts.use([], Path())


def test_parts_are_named_by_their_folder_or_a_prefix(tmp_path: Path) -> None:
    (cell,) = sweep(tmp_path).cells
    assert cell.settings["normalizer"] == [{"name": "mine/scaled", "factor": 3.0}]
    assert cell.labels["normalizer"] == "mine/scaled(factor=3.0)"
    folder(tmp_path / "elsewhere")
    (same,) = sweep(tmp_path, "{mine: elsewhere}").cells
    assert same.cell_id == cell.cell_id
    override = 'parts={"mine": "elsewhere"}'  # as the job on a cluster has it
    (again,) = read_sweep(tmp_path / "own.yaml", [override]).cells
    assert again.cell_id == cell.cell_id


def test_the_environment_names_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = folder(tmp_path / "here"), folder(tmp_path / "there")
    monkeypatch.setenv("NORMSCOPE_PARTS", f"{here}:other={there}")
    names = catalog.parts("normalizers")
    assert {"here/scaled", "other/scaled", "batch"} <= set(names)


def test_an_installed_package_names_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = folder(tmp_path / "their_parts")
    (package / "__init__.py").write_text("")
    info = tmp_path / "their_parts-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-parts\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[normscope.parts]\ntheirs = their_parts\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    own_parts._folders_in_packages.cache_clear()
    try:
        assert "theirs/scaled" in catalog.parts("normalizers")
    finally:
        own_parts._folders_in_packages.cache_clear()


@pytest.mark.parametrize(
    ("file", "is_new"),
    [
        ("normalizers/scaled.py", True),
        ("optimizers/plain.py", True),
        ("_shared.py", True),
        ("normalizers/other.py", False),
    ],
)
def test_an_edited_part_makes_new_cells(file: str, is_new: bool, tmp_path: Path) -> None:
    before = sweep(tmp_path).cells[0].cell_id
    after = sweep(tmp_path, **{file: FILES[file] + "\n# edited\n"}).cells[0].cell_id
    assert (before != after) is is_new


def test_a_trial_runs_own_parts_as_they_were_read(tmp_path: Path) -> None:
    (cell,) = sweep(tmp_path).cells
    folder(tmp_path / "mine", **{"normalizers/scaled.py": "raise RuntimeError\n"})
    store = Store(str(tmp_path / "results"))
    own_parts.install(json.loads(json.dumps(own_parts.snapshot())))  # as a worker does
    result = run_trial(cell, store, "cpu")
    assert result["status"] == "ok"
    assert result["provenance"]["sources"].keys() == {
        "training",
        "data/mine/blobs",
        "architectures/mine/small",
        "optimizers/mine/plain",
        "normalizers/mine/scaled",
        "probes/mine/size",
    }
    versions = result["provenance"]["versions"]
    assert versions["PyYAML"] == version("PyYAML")  # a file that the part imports imports it
    table = store.records(result, "mine-size")
    assert table is not None
    assert table.num_rows == 3


def test_a_worker_has_the_drivers_folders_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NORMSCOPE_PARTS", str(tmp_path / "only-on-the-driver"))
    own_parts.install({"mine": {"normalizers/other.py": FILES["normalizers/other.py"]}})
    assert [name for name in catalog.parts("normalizers") if "/" in name] == ["mine/other"]


def test_a_cluster_gets_the_folders_with_the_sweep_file(tmp_path: Path) -> None:
    from pipeline.cluster.checkout import _placed_parts

    parts = {"mine": {"normalizers/other.py": FILES["normalizers/other.py"]}}
    placed = _placed_parts(parts, tmp_path, "sweeps/own.yaml")
    assert placed == {"mine": "../submitted/parts/mine"}
    (tmp_path / "sweeps").mkdir()
    assert (tmp_path / "sweeps" / placed["mine"] / "normalizers/other.py").is_file()
    code = Checkout(tmp_path, "0" * 40, "sweeps/own.yaml", placed)
    command = entrypoint(code, ["--storage", "s3://b/r"])
    assert command.endswith("""--set 'parts={"mine": "../submitted/parts/mine"}'""")


WHOLE = """
from torch import nn

import normscope


class Net(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv2, self.norm2 = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.relu, self.head = nn.ReLU(inplace=True), nn.Linear(8, outputs)

    def forward(self, x):
        x = self.relu(self.norm1(self.conv1(x)))
        x = self.relu(x + self.norm2(self.conv2(x)))
        return self.head(x.mean((2, 3)))


def net(task, norm):
    \"\"\"A module as it is, its normalizations replaced.\"\"\"
    return normscope.normalized(lambda: Net(task.outputs), task, norm)
"""


def test_a_module_of_ones_own_is_an_architecture(tmp_path: Path) -> None:
    folder(tmp_path / "mine", **{"architectures/whole.py": WHOLE})
    own_parts.use(["mine"], tmp_path)
    task = Task(loss="cross_entropy", input_shape=(1, 8, 8), outputs=5)
    batch: Any = catalog.make("normalizers", catalog.resolve("normalizers", "batch", ""))
    network = catalog.make("architectures", {"name": "mine/net"}, task, batch)
    assert network(torch.zeros(4, 1, 8, 8)).shape == (4, 5)
    assert len(network.weight_layers()) == 3
    assert sum(isinstance(m, BatchNorm) for m in network.modules()) == 2
    none: Any = catalog.make("normalizers", {"name": "none"})
    plain = catalog.make("architectures", {"name": "mine/net"}, task, none)
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in plain.modules())
    broken = [p for p in problems("architectures", {"name": "mine/net"}) if p[1]]
    assert [rule for rule, _ in broken] == []


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ("./mine", "parts: must be a list of folders, or prefix: folder, not './mine'"),
        ("[./nine]", "nine: no such folder"),
        ("{torchvision: ./mine}", "'torchvision' is no prefix of parts"),
        (
            "[./empty]",
            "empty: has no files in data/, architectures/, normalizers/, optimizers/, probes/",
        ),
        ("[./mine, ./deep/mine]", "two folders are called mine"),
        (
            "[{mine: ./mine}]",
            """parts[0]: must be a folder's path, not {"mine": "./mine"}; a prefix stands in a """
            "mapping, not in a list: parts: {mine: ./folder}",
        ),
    ],
)
def test_wrong_folders_are_refused(parts: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    folder(tmp_path / "deep/mine")
    with pytest.raises(SpecError) as refused:
        sweep(tmp_path, parts)
    assert problem in str(refused.value)
    assert str(refused.value).startswith(f"{tmp_path}/own.yaml:3: parts")


BAD = "def bad():\n    '''A.'''\n"


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("bad.py", "def bad(x):\n    '''A.'''\n", "bad.py:1: bad: a part of normalizers takes 0 p"),
        ("bad.py", "def bad(:\n", "bad.py:1: invalid syntax"),
        ("bad.py", "def half(:\n", "bad.py:1: invalid syntax"),  # named by its file
        ("bad.py", "x = 1\n\ndef bad():\n    return (\n", "bad.py:4: "),
        ("bad.py", f"from .._half import X\n{BAD}", "_half.py:1: "),
        ("bad.py", f"{BAD}\0", "bad.py"),
        ("bad.py", f"{BAD}{BAD}{BAD}", "bad.py:3: bad: bad.py defines it too"),
        ("other.py", f"{FILES['normalizers/other.py']}{BAD}", "other.py defines it too"),
    ],
)
def test_a_file_that_is_no_part_stops_only_who_names_it(
    file: str, text: str, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"_half.py": "X = (\n"}
    if file == "other.py":
        changes["normalizers/another.py"] = BAD
    read = sweep(tmp_path, **{f"normalizers/{file}": text}, **changes)
    assert [cell.settings["normalizer"][0]["name"] for cell in read.cells] == ["mine/scaled"]
    (note,) = read.notes
    assert note.startswith("passed over: parts of mine: ")
    assert problem in note
    with pytest.raises(SpecError) as refused:
        read_sweep(tmp_path / "own.yaml", ["normalizer=mine/bad"])
    assert problem in str(refused.value)
    assert "\n" not in str(refused.value)
    where = ["--parts", str(tmp_path / "mine")]
    assert check(["mine/other", *where]) == 0
    shown = capsys.readouterr()
    assert shown.err.count("passed over") == 1
    assert problem in shown.err
    assert check(["mine/bad", *where]) == 2
    shown = capsys.readouterr()
    assert problem in shown.err
    assert shown.err.count("\n") == 1


def test_a_file_in_no_encoding_of_python_is_passed_over(tmp_path: Path) -> None:
    folder(tmp_path / "mine")
    (tmp_path / "mine/normalizers/latin.py").write_bytes("# \xe9t\xe9\n".encode("latin-1"))
    (tmp_path / "mine/normalizers/.backup").mkdir()
    (tmp_path / "mine/normalizers/.backup/net.py").write_text("def net(:\n")
    (tmp_path / "mine/data/folder.py").mkdir()
    read = sweep(tmp_path)
    assert read.notes == ("passed over: parts of mine: normalizers/latin.py: is no text in UTF-8",)
    with pytest.raises(SpecError, match=r"latin.py: is no text in UTF-8"):
        read_sweep(tmp_path / "own.yaml", ["normalizer=mine/latin"])


def test_the_nearest_right_name_may_be_an_own_one(tmp_path: Path) -> None:
    folder(tmp_path / "mine")
    own_parts.use(["mine"], tmp_path)
    with pytest.raises(SpecError, match="mine/scaled"):
        catalog.resolve("normalizers", "mine/scald", "normalizer")
    settings: Any = catalog.resolve("normalizers", "mine/scaled", "normalizer")
    assert settings == {"name": "mine/scaled", "factor": 2.0}
