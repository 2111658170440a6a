"""The contract: parts that keep it, and parts that each break a rule."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pipeline.catalog import own_parts
from pipeline.catalog import registry as catalog
from pipeline.contract import architecture
from pipeline.contract.command import main
from pipeline.contract.rules import _RULES, MADE, problems
from pipeline.normalizers import Normalizer
from tests.helpers.parts.broken_parts import (
    HEADS,
    NORM,
    NORMALIZERS,
    OPTIMIZER,
    OPTIMIZERS,
    OTHERS,
)


@pytest.fixture(autouse=True)
def unused() -> Iterator[None]:
    """No folder of another test afterwards."""
    yield
    own_parts.use([], Path())


def written(root: Path, kind: str, text: str) -> None:
    (root / "mine" / kind).mkdir(parents=True)
    (root / "mine" / kind / "net.py").write_text(text.replace("def dataset(", "def _dataset("))
    own_parts.use(["mine"], root)


def broken(kind: str, given: dict[str, object]) -> dict[str, str]:
    config = catalog.resolve(kind, given, "")
    return {rule: problem for rule, problem in problems(kind, config) if problem}


@pytest.mark.parametrize("rule", NORMALIZERS)
def test_a_normalizer_that_breaks_a_rule_is_told_which(rule: str, tmp_path: Path) -> None:
    init, forward, traits = NORMALIZERS[rule]
    written(tmp_path, "normalizers", NORM.format(init=init, forward=forward, traits=traits))
    assert rule in broken("normalizers", {"name": "mine/net"})


@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_an_optimizer_that_breaks_a_rule_is_told_which(rule: str, tmp_path: Path) -> None:
    step, more, traits = OPTIMIZERS[rule]
    written(tmp_path, "optimizers", OPTIMIZER.format(step=step, more=more, traits=traits))
    assert rule in broken("optimizers", {"name": "mine/net"})


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (
            "m = state.setdefault('m', p.clone()); m.lerp_(p.grad, 0.5); p.sub_(lr * m)",
            "a state of zeros is not its beginning",
        ),
        ("p.sub_(lr * p.grad) if p.grad.sum() > 0 else p", "the host reads a tensor"),
    ],
)
def test_what_a_captured_step_cannot_do_is_said(step: str, says: str, tmp_path: Path) -> None:
    text = OPTIMIZER.format(step=step, more="", traits="capturable=True")
    written(tmp_path, "optimizers", text)
    rule = "trait capturable is true, as far as a CPU shows it"
    assert says in broken("optimizers", {"name": "mine/net"})[rule]


@pytest.mark.parametrize(("kind", "rule"), OTHERS)
def test_another_part_that_breaks_a_rule_is_told_which(
    kind: str, rule: str, tmp_path: Path
) -> None:
    body = OTHERS[kind, rule].replace("return dataset(", "return _dataset(")
    written(tmp_path, kind, HEADS[kind] + body + "\n")
    every = {"every": 1} if kind == "probes" else {}
    assert rule in broken(kind, {"name": "mine/net", **every})


_NO_PARTS = {
    "normalizers": ("def net():", "normalizer mine/net returns None, not a Normalizer"),
    "architectures": ("def net(task, norm):", "architecture mine/net returns None, not a Network"),
    "optimizers": ("def net():", "optimizer mine/net returns None, not an UpdateRule"),
    "data": ("def net():", "dataset mine/net returns None, not a Dataset"),
}


@pytest.mark.parametrize("kind", _NO_PARTS)
def test_what_is_no_part_of_its_kind_is_told_once(kind: str, tmp_path: Path) -> None:
    head, problem = _NO_PARTS[kind]
    written(tmp_path, kind, f"{head}\n    '''Net.'''\n")
    assert broken(kind, {"name": "mine/net"}) == {MADE: f"TypeError: {problem}"}


@pytest.mark.parametrize(
    ("kind", "body", "problem"),
    [
        ("normalizers", "raise SystemExit", "RuntimeError: normalizer mine/net ends the process"),
        (
            "normalizers",
            "from pipeline.normalizers import Normalizer\n"
            "    return Normalizer(features=lambda channels: None)",
            "TypeError: its features returns None, not a torch.nn.Module",
        ),
        (
            "normalizers",
            "import torch\n    torch.set_default_dtype(torch.float64)\n"
            "    from pipeline.normalizers import Normalizer\n    return Normalizer()",
            "it changes torch's default dtype",
        ),
        (
            "optimizers",
            "from pipeline.optimizers import UpdateRule\n"
            "    return UpdateRule(make=lambda target: None)",
            "TypeError: its make returns a NoneType, not a torch.optim.Optimizer",
        ),
    ],
)
def test_what_cannot_be_made_is_told_once(
    kind: str, body: str, problem: str, tmp_path: Path
) -> None:
    written(tmp_path, kind, f"def net():\n    '''Net.'''\n    {body}\n")
    assert broken(kind, {"name": "mine/net"}) == {MADE: problem}
    assert torch.get_default_dtype() is torch.float32


@pytest.mark.parametrize("what", ["None", "{}"])
def test_a_probe_that_returns_no_columns_is_told(what: str, tmp_path: Path) -> None:
    written(tmp_path, "probes", f"def net(view):\n    '''Net.'''\n    return {what}\n")
    found = broken("probes", {"name": "mine/net", "every": 1})
    assert all(
        "probe mine/net: must return columns by name, not" in each for each in found.values()
    )
    assert "the same bits twice in training" in found


@pytest.mark.parametrize("kind", ["normalizers", "architectures", "optimizers", "data", "probes"])
@pytest.mark.parametrize(
    ("top", "problem"),
    [
        ("raise RuntimeError('half done')", "RuntimeError: half done"),
        ("raise SystemExit", "ImportError: mine/net: its file ends the process as it is imported"),
        ("from .._helpers import X", "its folder has no file _helpers"),
    ],
)
def test_a_file_that_cannot_be_imported_is_told_once(
    kind: str, top: str, problem: str, tmp_path: Path
) -> None:
    arguments = {"architectures": "task, norm", "probes": "view"}.get(kind, "")
    written(tmp_path, kind, f"{top}\n\ndef net({arguments}):\n    '''Net.'''\n")
    every = {"every": 1} if kind == "probes" else {}
    assert broken(kind, {"name": "mine/net", **every}) == {MADE: problem}


def test_a_package_that_is_missing_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, "normalizers", "import no_such_package.x\n\ndef net():\n    '''Net.'''\n")
    monkeypatch.setattr("pipeline.optimizers.schedule_free.find_spec", lambda name: None)
    for words, problem in (
        (
            ["mine/net", "--parts", str(tmp_path / "mine")],
            "mine/net needs the package no_such_package",
        ),
        (["schedule_free"], "optimizer schedule_free needs the package schedulefree; pip install"),
    ):
        assert main(words) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.startswith(problem)
        assert shown.err.count("\n") == 1


def test_every_rule_has_a_part_that_breaks_it() -> None:
    rules = {(kind, rule) for kind, own in _RULES.items() for rule in own}
    training = {rule for kind, own in _RULES.items() if kind == "normalizers" for rule in own}
    training &= {rule for kind, rule in rules if kind == "probes"}
    shown = {("normalizers", rule) for rule in NORMALIZERS} | set(OTHERS)
    shown |= {("optimizers", rule) for rule in OPTIMIZERS}
    assert rules - shown == {("architectures", rule) for rule in training}


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("normalizers", {"name": "batch"}),
        ("normalizers", {"name": "noisy_batch"}),
        ("normalizers", {"name": "group", "groups": 8}),
        ("normalizers", {"name": "weight_norm"}),
        ("architectures", {"name": "resnet", "depth": 8, "width": 0.25}),
        ("architectures", {"name": "deep_linear", "depth": 3}),
        ("data", {"name": "gaussian"}),
        ("probes", {"name": "gradient_ics", "every": 1}),
        ("optimizers", {"name": "sgd", "momentum": 0.9, "nesterov": True, "clip": 0.1}),
        ("optimizers", {"name": "adam"}),
        ("optimizers", {"name": "adamw", "decay_norms": False}),
        ("optimizers", {"name": "lion"}),
        ("optimizers", {"name": "muon"}),
    ],
    ids=str,
)
def test_built_in_parts_keep_the_contract(kind: str, given: dict[str, object]) -> None:
    assert broken(kind, given) == {}


def test_an_architecture_may_take_one_shape_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(architecture, "TASKS", list(architecture.TASKS))
    options = ["--kind", "architectures", "--set", "depth=8", "--set", "width=0.25"]
    assert main(["resnet", *options, "--input-shape", "2,24,24"]) == 0
    assert "broken" not in capsys.readouterr().out
    made = architecture.make({"name": "resnet", "depth": 8, "width": 0.25}, Normalizer())
    assert made.task.input_shape == (2, 24, 24)
    with pytest.raises(SystemExit):
        main(["resnet", "--input-shape", "0,8,8"])


def test_the_command_names_rules_and_gives_a_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, "normalizers", NORM.format(init="pass", forward="return x", traits=""))
    folder = str(tmp_path / "mine")
    assert main(["mine/net", "--parts", folder]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "normalizers/mine/net\n  kept    it can be made\n  kept    features keep their shape"
    )
    assert main(["mine/nett", "--parts", folder]) == 2
    error = capsys.readouterr().err
    assert "no part 'mine/nett'" in error
    assert "mine/net" in error
    assert main(["group", "--set", "groups"]) == 2
