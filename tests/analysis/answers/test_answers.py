from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from analysis import answers
from analysis.load.sources import load
from analysis.tables import tables
from analysis.text.sentences import Answer, Label, Number, Sentence
from tests.helpers.stores.synthetic import RECORDS, write_store

SMALL: dict[str, Any] = {
    "architectures": ["vgg11(width=0.25)"],
    "normalizers": ["none", "batch"],
    "seeds": [0, 1],
    "steps": 20,
}
KEYS = [*(f"C{i}" for i in range(1, 13)), *(f"K{i}" for i in range(1, 5))]
KEYS += [*(f"Q{i}" for i in range(1, 10)), "Tuning"]


def answered(folder: Path, **options: Any) -> dict[str, Answer]:
    write_store(folder, **{**SMALL, **options})
    basis = tables.TableInputs(load(str(folder)))
    said = answers.build(basis, tables.build_tables(basis), ["activations_one", "training_loss"])
    return {answer.key: answer for answer in said}


def spoken(sentence: Sentence) -> str:
    return "".join(part.text if isinstance(part, Label | Number) else part for part in sentence)


def told(answer: Answer) -> str:
    claims = [spoken((*claim.verdict, " | ", *claim.evidence)) for claim in answer.claims]
    return "\n".join([spoken(answer.verdict), *claims])


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    return answered(
        tmp_path_factory.mktemp("full"),
        architectures=["vgg11(width=0.25)", "deep_linear"],
        normalizers=["none", "batch", "layer", "noisy_batch", "noise", "l1"],
        seeds=range(4),
        diverge=[("none", 0.1, 0)],
        tables=list(RECORDS),
    )


def test_every_claim_and_question_has_a_verdict(full: dict[str, Answer]) -> None:
    assert list(full) == KEYS
    for answer in full.values():
        assert spoken(answer.verdict)
        assert answer.rule
        assert answer.key.startswith("Q") or answer.claims
        plain = [part for part in answer.verdict if isinstance(part, str)]
        assert not re.search(r"\d", " ".join(plain))


def test_planted_truth_is_what_is_answered(full: dict[str, Answer]) -> None:
    expected = {
        "C1": "Faster: supported: as claimed in 4 of 4",
        "C4": "Trains worse than batch: supported",  # planted: noise alone trains, slowly
        "C7": "Supported: early as claimed in 4 of 4 comparisons, ratio ",
        "C11": "Supported: as claimed in 2 of 2",
        "C12": "Supported: as claimed in 4 of 4",
        "K2": "Contradicted: early against it in 4 of 4 comparisons, ratio ",
        "K3": "Contradicted",
        "Q3": "ResNets: not estimable. DenseNets: not estimable.",
    }
    assert {key: told(full[key])[: len(text)] for key, text in expected.items()} == expected
    halves = {
        "C2": ("Moments: supported: early", "Distributions: supported: early"),
        "C5": ("Size: supported: early", "Direction: supported: early"),
        "C6": ("In nats: supported: early", "Relative to the loss: supported: early"),
        "C8": ("Effective β: supported: early", "Free of scale: supported: early"),
        "C9": ("Deep linear networks: supported: early", "Random directions: supported: early"),
        "K1": ("Gradient change: contradicted: early", "Curvature: contradicted: early"),
    }
    for key, starts in halves.items():
        assert all(start in told(full[key]) for start in starts), told(full[key])
    assert "the study has no l2" in told(full["C10"])
    assert "the study has no resnet" in told(full["Q3"])
    assert re.search(r"slope 0\.(89|90)", spoken(full["Q8"].verdict))  # planted: 0.9
    assert "flattest end, by adaptive sharpness: batch" in told(full["Q5"])
    assert not any("cause" in told(answer) for answer in full.values())


def test_questions_are_answered_with_numbers_in_the_first_line(full: dict[str, Answer]) -> None:
    ratio = r"vgg11\(width=0.25\) 2\.\d+ \[[12]\.\d+, [23]\.\d+\]"  # planted: √5 = 2.24
    assert re.search(
        rf"before the normalizer, early, batch over none: .*{ratio}", first(full["Q7"])
    )
    assert re.search(r"Gradient ICS .*, early, batch over none: .* 5\.\d+ \[", first(full["Q4"]))
    assert re.search(r"They agree in (\d+) of \1 comparisons", first(full["Q4"]))
    assert re.match(r"Of 5 measures, \d predict speed, \d are associated", first(full["Q8"]))
    assert re.match(r"Of 5 measures, \d predict generalization", first(full["Q5"]))
    assert "also the most accurate in 2 of 2 blocks" in first(full["Q5"])
    for key in ("Q4", "Q7"):
        assert {finding.state for finding in full[key].findings} <= {"shown", "not estimable"}
        assert "ontradicted" not in told(full[key])
    assert "By construction: " in told(full["Q7"])


def first(answer: Answer) -> str:
    return spoken(answer.verdict)


def test_findings_name_block_phase_and_rate(full: dict[str, Answer]) -> None:
    found = full["C6"].findings
    assert len({(f.part, f.block, f.phase, f.lr) for f in found}) == len(found) == 24
    assert {f.phase for f in found} == {"early", "late", "loss"}
    assert {f.lr for f in found} == {0.01, 0.1}
    known = [f for f in found if f.state != "not estimable"]
    assert [f.phase for f in found if f not in known] == ["loss"] * 8  # of none, too late to probe
    assert all(f.low < f.effect < f.high < 1 for f in known)
    assert "not estimable at LR 0.01: the target is not reached by none" in told(full["C6"])


def test_numbers_of_an_answer_are_those_of_the_tables(full: dict[str, Answer]) -> None:
    text = told(full["C6"])
    assert re.search(
        r"loss range / loss, early, batch over none: as claimed at LR 0.01, 0\.\d+ \[", text
    )
    assert re.search(r"all rates together 0\.2\d* \[0\.1\d+, 0\.2\d+\]", text)
    assert "1 of 8 runs of none diverged" in text
    rate = told(full["C11"])
    assert "0.100 with batch, 0.0100 with none; the grid ends at 0.100" in rate
    # twins and repeated rows are one comparison: β alone, and tuned = shared rates once
    assert "η·β," not in told(full["C8"])


def test_the_same_runs_are_one_comparison(tmp_path: Path) -> None:
    found = answered(tmp_path, lrs=[0.1], seeds=[0, 1, 2], diverge=[], noise=0.01)["C1"]
    assert first(found).startswith("Faster: supported: as claimed in 1 of 1 comparison, ratio ")
    assert "steps to target, shared LR: the same runs at the same rate as above" in told(found)


def test_a_rate_at_which_none_fails_is_the_other_half(tmp_path: Path) -> None:
    seeds = range(4)
    diverge = [("none", 0.1, seed) for seed in seeds]
    found = answered(tmp_path / "a", seeds=seeds, diverge=diverge)["C1"]
    assert "At rates where none fails: supported: as claimed in 1 of 1" in first(found)
    assert "4 of 4 runs of none and 0 of 4 runs of batch fail" in told(found)
    stuck = answered(tmp_path / "b", seeds=seeds, diverge=[], stuck=diverge)["C1"]
    assert "At rates where none fails: supported: as claimed in 1 of 1" in first(stuck)
    never = answered(tmp_path / "c", diverge=[])["C1"]
    assert "At rates where none fails: not estimable." in first(never)
    assert "add larger ones to training.lr" in told(never)


def test_training_claims_are_judged_in_training(tmp_path: Path) -> None:
    names = ["none", "batch", "noisy_batch", "noise"]
    found = answered(tmp_path, normalizers=names, seeds=range(4), diverge=[])
    for key in ("C3", "C4"):
        text = told(found[key])
        assert "training accuracy" in text
        assert "final loss / chance" in text
        assert "test accuracy" not in text
        assert " over batch" in text


def test_too_few_pairs_look_at_overlap(tmp_path: Path) -> None:
    few = answered(tmp_path / "few", seeds=[0, 1, 2], diverge=[], noise=0.01)
    assert "too few for an interval" in told(few["C1"])
    assert told(few["C1"]).startswith("Faster: supported")
    one = answered(tmp_path / "one", seeds=[0], diverge=[])
    assert told(one["C1"]).startswith("Faster: undecided")
    assert told(one["C7"]).startswith("Undecided")
    assert "too few pairs for an interval" in told(one["C7"])


def test_a_plateau_is_no_answer_at_its_rate(tmp_path: Path) -> None:
    stuck = [("none", 0.01, seed) for seed in range(4)]
    found = answered(tmp_path, stuck=stuck, diverge=[], seeds=range(4))
    assert "not estimable at LR 0.01: on the plateau is none" in told(found["C7"])
    assert "4 of 8 runs of none stuck" in told(found["C7"])
    assert first(found["C7"]).startswith("Supported: early as claimed in 1 of 1")
    assert told(found["C1"]).startswith("Faster: supported")


@pytest.mark.parametrize(
    ("options", "reasons"),
    [
        ({"normalizers": ["batch", "layer"]}, {"C1": "the study has no none"}),
        ({"normalizers": ["none"]}, {"C6": "the study has no batch"}),
        ({"tables": ["landscape"]}, {"C1": "no finished run has the outcome"}),
        (
            {"tables": ["training"]},
            {
                "C6": "no run recorded landscape",
                "C2": "no run recorded moment_ics at place output",
                "Q8": "no smoothness was measured",
                "C12": "no run recorded batchnorm_theorems",
                "K2": "no run recorded curvature",
            },
        ),
    ],
)
def test_not_estimable_says_why(
    tmp_path: Path, options: dict[str, Any], reasons: dict[str, str]
) -> None:
    found = answered(tmp_path, **options)
    assert list(found) == KEYS
    for key, reason in reasons.items():
        assert "ot estimable" in told(found[key])
        assert reason in told(found[key])


def test_two_views_that_disagree_are_named(tmp_path: Path) -> None:
    # batch trains at the small rate alone, layer at both: tuned batch wins, untuned layer does.
    diverge = [("batch", 0.1, seed) for seed in (0, 1)]
    found = answered(tmp_path, normalizers=["batch", "layer"], diverge=diverge)
    text = told(found["Tuning"])
    assert "each at its best rate: batch" in text
    assert "averaged over the grid: layer" in text
    assert not text.startswith("Rankings disagree in 0")


def test_reasons_are_said_once_and_growth_is_in_the_verdict(tmp_path: Path) -> None:
    said = answered(tmp_path)
    for answer in said.values():
        assert len(set(answer.claims)) == len(answer.claims)
    growth = r"Growth of the shift, late over early: .* with batch, \d\.\d+ with none, ratio \d"
    assert re.search(growth, first(said["K4"]))


def test_no_evidence_makes_sense_beside_its_largest_psi(tmp_path: Path) -> None:
    names = ["none", "batch", "layer", "l1", "l2", "linf"]
    text = told(answered(tmp_path / "six", normalizers=names)["Q8"])
    pattern = r"the largest ψ of one is (\S+); the test detects a ψ from (\S+) on"
    for largest, least in re.findall(pattern, text):
        assert float(largest) < float(least)
    text = told(answered(tmp_path / "two")["Q8"])
    assert "too few normalizers to detect any" in text
    assert not re.search(r"ψ over all blocks = \S+ \[", text)
