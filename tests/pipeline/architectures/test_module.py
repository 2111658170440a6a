"""A user's network class in a sweep: replaced parts, identity by content, errors of one line."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from pipeline.architectures import Table
from pipeline.catalog import registry as catalog
from pipeline.contract.rules import problems
from pipeline.data import Task
from pipeline.normalizers import Normalizer, Traits
from pipeline.spec.read import Cell, read_sweep
from pipeline.store.store import Store
from pipeline.sweep.command import main
from pipeline.training.initialization import initialize
from pipeline.trial import run as trial
from pipeline.trial.run import run_and_record
from tests.helpers.parts import small_network

FILE = Path(small_network.__file__)
TASK = Task(loss="cross_entropy", input_shape=(3, 8, 8), outputs=10)


class Marked(nn.Identity):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMSCOPE_CACHE", str(tmp_path / "cache"))


def write(folder: Path, path: str, **options: Any) -> Path:
    base = {
        "data": "digits",
        "architecture": {"name": "module", "path": path, "channels": 1, **options},
        "normalizer": "batch",
        "training": {"steps": 2, "batch_size": 16},
    }
    file = folder / "own.yaml"
    file.write_text(yaml.safe_dump({"name": "own", "base": base}))
    return file


def only(file: Path) -> Cell:
    (cell,) = read_sweep(file).cells
    return cell


def build(path: str, **options: Any) -> nn.Module:
    config = {"name": "module", "path": path, **options}
    norm = Normalizer(features=Marked, traits=Traits(bias_free=True))
    with torch.device("meta"):
        return catalog.make("architectures", config, TASK, norm)


def test_every_normalization_is_replaced_and_options_are_keyword_arguments() -> None:
    modules = list(build(f"{FILE}:Net", width=6).modules())
    marks = [module.channels for module in modules if isinstance(module, Marked)]
    assert marks == [6, 6]
    assert not any(isinstance(each, nn.GroupNorm | nn.BatchNorm2d) for each in modules)


def test_it_keeps_the_rules_of_architectures() -> None:
    config = catalog.resolve("architectures", {"name": "module", "path": f"{FILE}:Net"}, "x")
    assert [problem for _, problem in problems("architectures", config) if problem] == []


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("net.py", {}, r"path must be FILE\.py:CLASS, e\.g\. my_net\.py:Net, not 'net\.py'"),
        ("no.py:Net", {}, r"no\.py cannot be read: No such file"),
        (f"{FILE}:Nte", {}, r"has no nn\.Module class 'Nte'; did you mean 'Net'"),
        (f"{FILE}:Net", {"widht": 4}, r":Net has no option 'widht'; did you mean 'width'"),
        (
            f"{FILE}:Net",
            {"outputs": 7},
            r"outputs of shape \(2, 7\), .* need \(2, 10\)",
        ),
        (f"{FILE}:Maps", {}, r"outputs of shape \(2, 10, 8, 8\)"),
        (f"{FILE}:Functional", {}, r":Functional: forward calls the function group_norm"),
        (f"{FILE}:Net", {"width": 5}, r"num_channels"),
    ],
)
def test_what_is_wrong_is_said(path: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        build(path, **options)
    assert "\n" not in str(caught.value)


def test_it_may_branch_on_sizes_and_what_is_random_in_it_is_left_out() -> None:
    """For a batch of any size; a table that the class draws, the seed draws."""
    config = {"name": "module", "path": f"{FILE}:Branching"}
    network = catalog.make("architectures", config, TASK, Normalizer())
    initialize(network, Normalizer(), "he", 1)
    inputs = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    assert network(inputs).shape == (5, 10)
    assert torch.equal(network.train()(inputs), network.eval()(inputs))
    (table,) = [m.value for m in network.modules() if isinstance(m, Table)]
    assert table.std().item() == pytest.approx(0.02, rel=0.1)


def test_a_file_that_fails_at_its_import_is_named(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("from . import other\n")
    with pytest.raises(ValueError, match=r"net\.py cannot be imported: ImportError"):
        build(f"{tmp_path}/net.py:Net")


def test_the_content_of_the_file_is_the_identity_and_where_it_is_is_not(tmp_path: Path) -> None:
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    shutil.copyfile(FILE, first)
    shutil.copyfile(FILE, second)
    one = only(write(tmp_path, f"{first}:Net"))
    assert set(one.contents) == {"architecture.path"}
    assert only(write(tmp_path, f"{second}:Net")).cell_id == one.cell_id
    assert only(write(tmp_path, f"{first}:Maps")).cell_id != one.cell_id
    assert only(write(tmp_path, f"{first}:Net", width=4)).cell_id != one.cell_id
    first.write_text(FILE.read_text() + "\n# edited\n")
    assert only(write(tmp_path, f"{first}:Net")).cell_id != one.cell_id


def test_a_label_has_the_options(tmp_path: Path) -> None:
    cell = only(write(tmp_path, f"{FILE}:Net", width=4))
    own = "path=small_network.py:Net, channels=1, width=4"
    assert cell.labels["architecture"] == f"module({own})"


def test_a_cell_runs_and_its_provenance_has_the_digest(tmp_path: Path) -> None:
    cell = only(write(tmp_path, f"{FILE}:Net"))
    store = Store(str(tmp_path / "results"))
    assert run_and_record(cell, store, "cpu") == "ok"
    assert cell.contents["architecture.path"] in str(store.result(cell.cell_id))


_DRAWING = """
from torch import Tensor, nn, randn

class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(randn(1, 1, 8, 8))
        self.norm, self.flatten, self.head = nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.flatten(self.norm(x + self.shift)))
"""


def test_what_a_class_draws_by_itself_is_the_seed_s(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(_DRAWING)
    config = {"name": "module", "path": f"{tmp_path}/net.py:Net"}
    settings = {"architecture": config, "normalizer": [{"name": "none"}]}
    task = Task(loss="cross_entropy", input_shape=(1, 8, 8), outputs=10)

    def shift(seed: int) -> torch.Tensor:
        network, _ = trial.build({**settings, "seed": seed}, task)
        (found,) = [p for name, p in network.named_parameters() if p.shape == (1, 1, 8, 8)]
        return found.detach()

    before = torch.get_rng_state()
    assert torch.equal(shift(0), shift(0))
    assert not torch.equal(shift(0), shift(1))
    assert torch.equal(torch.get_rng_state(), before)


_TWICE = """
from torch import Tensor, nn

class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1)
        self.relu = nn.ReLU()
        self.flatten, self.head = nn.Flatten(), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.conv(x)))
        return self.head(self.flatten(self.relu(self.conv(x))))
"""


def test_a_layer_that_is_called_twice_is_named(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(_TWICE)
    config = {"name": "module", "path": f"{tmp_path}/net.py:Net"}
    settings = {"architecture": config, "normalizer": [{"name": "none"}], "seed": 0}
    task = Task(loss="cross_entropy", input_shape=(1, 8, 8), outputs=10)
    with pytest.raises(ValueError, match="the layer conv is called in several places"):
        trial.build(settings, task)


def test_a_class_without_normalization_is_refused(tmp_path: Path) -> None:
    text = _DRAWING.replace("BatchNorm2d(1)", "ReLU()").replace("64", "192")
    (tmp_path / "net.py").write_text(text)
    with pytest.raises(ValueError, match="has no normalization layer"):
        build(f"{tmp_path}/net.py:Net")


def test_a_sweep_with_a_wrong_class_ends_before_it_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, f"{FILE}:Nte")
    assert main([str(file), "--dry-run", "--storage", str(tmp_path / "results")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "has no nn.Module class 'Nte'; did you mean 'Net'" in line


def test_an_edited_file_is_checked_again(tmp_path: Path) -> None:
    net = tmp_path / "net.py"
    net.write_text("Net = None\n")
    file = write(tmp_path, f"{net}:Net")
    storage = ["--dry-run", "--storage", str(tmp_path / "results")]
    assert main([str(file), *storage]) == 2
    shutil.copyfile(FILE, net)
    assert main([str(file), *storage]) == 0
