"""What a user is told about a mistake in a sweep file: its line, its key, what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.spec.read import SpecError, read_sweep
from tests.helpers.parts import tiny_catalog as small_parts

GOOD = small_parts.QUICKSTART


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small_parts.install(monkeypatch, tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "name: quick",
            "nmae: quick",
            "1: nmae: a sweep file has no option 'nmae'; did you mean 'name'?",
        ),
        (
            "quickstart",
            "Quick start",
            "1: name: must be lower-case letters, digits, - and _, not 'Qui",
        ),
        ("quickstart", "q" * 65, "1: name: String should have at most 64 characters, not 'qqq"),
        (
            "  data: digits\n",
            "",
            "3: base.data: no data is given, here or in the grid; known: digits",
        ),
        ("data: digits", "data: digit", "4: base.data: no dataset 'digit'; did you mean 'digits'?"),
        ("  data:", "  lr: 1\n  data:", "4: base.lr: base has no option 'lr'; "),
        (
            "width: 0.25",
            "widht: 0.25",
            "5: base.architecture.widht: vgg11 has no option 'widht'; did",
        ),
        ("width: 0.25", "width: wide", "5: base.architecture.width: must be a number, not 'wide'"),
        ("width: 0.25", "width: '1'", "5: base.architecture.width: must be a number, not '1'"),
        (
            "width: 0.25",
            "width: 1e400",
            "5: base.architecture.width: must be a finite number, not Inf",
        ),
        ("lr: 0.1}", "lr: 0}", "7: base.training.lr: must be greater than 0, not 0"),
        ("lr: 0.1}", "lr: fast}", "7: base.training.lr: must be a number, not 'fast'"),
        (
            "lr: 0.1}",
            "optimiser: sgd}",
            "7: base.training.optimiser: training has no option 'optimis",
        ),
        (
            "lr: 0.1}",
            "optimizer: sdg}",
            "7: base.training.optimizer: no optimizer 'sdg'; did you mean 'sgd'?",
        ),
        ("lr: 0.1}", "momentum: 1}", "7: base.training.momentum: must be less than 1, not 1"),
        (
            "lr: 0.1}",
            "betas: [0.9]}",
            "7: base.training.betas: must have at least 2 items, not [0.9]",
        ),
        (
            "lr: 0.1}",
            "milestones: [0.5, 0.2]}",
            "7: base.training.milestones: must increase, not [",
        ),
        (
            "lr: 0.1}",
            "milestones: [0.5, 2]}",
            "7: base.training.milestones[1]: must be less than 1",
        ),
        (
            "lr: 0.1}",
            "augment: [crop, flop]}",
            "7: base.training.augment[1]: must be 'crop' or 'flip'",
        ),
        (
            "batch_size: 128",
            "batch_size: 0",
            "7: base.training.batch_size: must be greater than or eq",
        ),
        ("steps: 400", "steps: 4.5", "7: base.training.steps: must be an integer, not 4.5"),
        (
            "steps: 400",
            "steps: 3",
            "18: probes.landscape.at: there is no step 3 of 3 steps; the first is 0 (or -3)",
        ),
        (
            "[none, batch",
            "[none, bacth",
            "9: grid.normalizer[1]: no normalizer 'bacth'; did you mean 'ba",
        ),
        ("groups: 8", "groups: 8.0", "9: grid.normalizer[2].groups: must be an integer, not 8.0"),
        (
            "[weight_",
            "[wieght_",
            "9: grid.normalizer[3][0]: no normalizer 'wieght_standardization'; did",
        ),
        (
            "[weight_standardization, group]",
            "[]",
            "9: grid.normalizer[3]: must have at least 1 normal",
        ),
        (
            "[none, batch",
            "[null, batch",
            "9: grid.normalizer[0]: no normalizer is given, here or in",
        ),
        ("[0.1, 0.01]", "0.1", "10: grid.training.lr: must be a list, not 0.1"),
        ("[0.1, 0.01]", "[]", "10: grid.training.lr: must have at least 1 items, not []"),
        ("[0.1, 0.01]", "[0.1, -1]", "10: grid.training.lr[1]: must be greater than 0, not -1"),
        (
            "training.lr: [",
            "lr: [",
            "10: grid.lr: no such setting; did you mean 'training.lr'? known: ",
        ),
        (
            "training.lr: [",
            "training.rl: [",
            "10: grid.training.rl[0]: training has no option 'rl'; k",
        ),
        (
            "training.lr: [",
            "normalizer: [",
            "10: grid.normalizer: given twice, first on line 9; keep",
        ),
        (
            "training.lr: 0.1}",
            "training.lt: 0.1}",
            "11: exclude[0].training.lt: training has no option",
        ),
        (
            "{normalizer: none",
            "{normalizer: nine",
            "11: exclude[0].normalizer: no normalizer 'nine'",
        ),
        (
            "{normalizer: none",
            "{normaliser: none",
            "11: exclude[0].normaliser: no such setting; did you",
        ),
        (
            "{normalizer: none",
            "{data.path: x",
            "11: exclude[0].data.path: no data of this sweep has the",
        ),
        (
            "{normalizer: none",
            "{probes.x: 1",
            "11: exclude[0].probes.x: no probe 'x'; known: gradient",
        ),
        (
            "[{normalizer: none, training.lr: 0.1}]",
            "[{}]",
            "11: exclude[0]: must have at least 1 items",
        ),
        (
            "[{normalizer: none, training.lr: 0.1}]",
            "none",
            "11: exclude: must be a list, not 'none'",
        ),
        (
            "training.lr: 1.0",
            "training.lr: x",
            "12: include[0].training.lr: must be a number, not 'x'",
        ),
        ("training.lr: 1.0", "seed: 1", "12: include[0].seed: no such setting; known: "),
        (
            "seeds: 3",
            "seeds: 0",
            "13: seeds: must be a number of seeds from 1 to 100000, or a list of",
        ),
        ("seeds: 3", "seeds: [0, -1]", "13: seeds[1]: must be greater than or equal to 0, not -1"),
        (
            "seeds: 3",
            "seeds: 99999",
            "8: grid: 9 points times 99999 seeds are more than 100000 cells",
        ),
        (
            "gradient_ics: {",
            "gradient_isc: {",
            "15: probes.gradient_isc: no probe 'gradient_isc'; did",
        ),
        (
            "{every: 50}",
            "50",
            "15: probes.gradient_ics: must be a mapping that says when to measure, e",
        ),
        (
            "{every: 50}",
            "{}",
            "15: probes.gradient_ics: does not say when to measure; give every, at",
        ),
        (
            "{every: 50}",
            "{every: 0}",
            "15: probes.gradient_ics.every: must be greater than or equal",
        ),
        (
            "{every: 50}",
            "{every: 1, parameter: all}",
            "15: probes.gradient_ics.parameter: gradient_ics h",
        ),
        (
            "at: [3, 1]",
            "at: [3, -401]",
            "18: probes.landscape.at: there is no step -401 of 400 steps; the first is 0 (or -400)",
        ),
        (
            "at: [3, 1]",
            "mode: test",
            "18: probes.landscape.mode: must be 'train' or 'eval', not 'test'",
        ),
        (
            "at: [3, 1]",
            "batch: own",
            "18: probes.landscape.batch: must be 'step' or 'probe', not 'own'",
        ),
        (
            "at: [3, 1]",
            "batch_size: 0",
            "18: probes.landscape.batch_size: must be greater than or equal to 1, not 0",
        ),
        (
            "at: [3, 1]",
            "lengths: 0",
            "18: probes.landscape.lengths: must be greater than or equal to 1, not 0",
        ),
        (
            "at: [3, 1]",
            "ranges: []",
            "18: probes.landscape.ranges: must have at least 1 items, not []",
        ),
        (
            "at: [3, 1]",
            "ranges: [lr, rl]",
            "18: probes.landscape.ranges[1]: must be 'lr' or 'common', not 'rl'; known: ",
        ),
        (
            "at: [3, 1]",
            "span: [4, 0.5]",
            "18: probes.landscape.span: must be two ascending numbers above 0, not [4.0, 0.5]",
        ),
        (
            "at: [3, 1]",
            "span: 4",
            "18: probes.landscape.span: must be a list, not 4",
        ),
        (
            "gpus: null",
            "gpus: 9",
            "19: resources.gpus: must be a number of GPUs above 0 and at most 8",
        ),
        (
            "cpus: 1",
            "cpu: 1",
            "19: resources.cpu: resources has no option 'cpu'; did you mean 'cpus'?",
        ),
        ("cpus: 1", "cpus: true", "19: resources.cpus: must be an integer, not true"),
    ],
)
def test_known_mistakes_name_line_key_and_what_is_right(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in GOOD
    path = tmp_path / "sweep.yaml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(SpecError) as caught:
        read_sweep(path)
    assert str(caught.value).startswith(f"{path}:{message}")


def lines_of(path: Path, text: str, *overrides: str) -> list[str]:
    """The message for a wrong file, by lines, without the file's name."""
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        read_sweep(path, overrides)
    return [line.removeprefix(f"{path}:") for line in str(caught.value).splitlines()]


MANY = (
    ("name: quick", "name: Quick", "1: name: must be lower-case"),
    ("width: 0.25", "widht: 0.25", "5: base.architecture.widht: vgg11 has no option 'widht'"),
    ("steps: 400", "steps: 4.5", "7: base.training.steps: must be an integer, not 4.5"),
    ("batch_size: 128", "batch_size: 0", "7: base.training.batch_size: must be greater"),
    ("none, batch,", "nine, bacth,", "9: grid.normalizer[0]: no normalizer 'nine'"),
    ("", "", "9: grid.normalizer[1]: no normalizer 'bacth'"),
    ("training.lr: [0.1", "training.lr: [-1", "10: grid.training.lr[0]: must be greater than 0"),
    ("training.lr: 1.0", "training.lr: x", "12: include[0].training.lr: must be a number"),
    ("seeds: 3", "seeds: 0", "13: seeds: must be a number of seeds"),
    ("{every: 50}", "{}", "15: probes.gradient_ics: does not say when to measure"),
    ("log: 5", "lengths: 0", "17: probes.landscape.lengths: must be greater than or equal to 1"),
    ("gpus: null", "gpus: 1.5", "19: resources.gpus: must be a number of GPUs above 0"),
)


def test_all_mistakes_are_named_at_once_each_in_one_line(tmp_path: Path) -> None:
    text = GOOD
    for old, new, _ in MANY:
        assert old in text
        text = text.replace(old, new, 1)
    found = lines_of(tmp_path / "sweep.yaml", text)
    assert len(found) == len(MANY)
    for line, (_, _, said) in zip(found, MANY, strict=True):
        assert line.startswith(said)


def test_a_misspelt_key_is_not_said_to_be_missing_too(tmp_path: Path) -> None:
    text = GOOD.replace("base:", "bsae:").replace("cpus: 1", "cpu: 1")
    found = lines_of(tmp_path / "sweep.yaml", text)
    assert [line.partition(";")[0] for line in found] == [
        "3: bsae: a sweep file has no option 'bsae'",
        "19: resources.cpu: resources has no option 'cpu'",
    ]


def test_mistakes_of_rules_and_of_the_command_line_come_together(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    text = GOOD.replace("[{normalizer: none, training.lr: 0.1}]", "[{data: x}, {probes.x: 1}]")
    assert [line[:16] for line in lines_of(path, text)] == ["11: exclude[0].d", "11: exclude[1].p"]
    found = lines_of(path, GOOD, "seedz=1", "training.lr", "seeds=2")
    assert [line.partition(": ")[0] for line in found] == [" --set seedz", " --set training.lr"]


def test_more_than_twenty_mistakes_are_counted(tmp_path: Path) -> None:
    wrong = ", ".join(f"none{index}" for index in range(30))
    text = GOOD.replace("normalizer: [none, batch", f"normalizer: [{wrong}, batch")
    found = lines_of(tmp_path / "sweep.yaml", text)
    assert len(found) == 21
    assert found[-1] == "… and 10 more mistakes"


def test_a_file_that_is_no_mapping_says_so(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text("- a\n")
    with pytest.raises(
        SpecError, match=r"sweep.yaml: must be a mapping of settings, not \[\"a\"\]"
    ):
        read_sweep(path, ["seeds=1"])


def test_what_the_grid_replaces_must_be_right_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(GOOD.replace("  normalizer: batch\n", "  normalizer: bach\n"))
    with pytest.raises(SpecError, match=r"6: base\.normalizer: no normalizer 'bach'"):
        read_sweep(path)
