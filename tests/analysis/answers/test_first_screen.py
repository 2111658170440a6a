"""The first screen: matrix, sentences, short labels, and which figure stands where."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.answers.matrix import matrix
from analysis.answers.summary import summary
from analysis.render.first_screen import MOST, asked
from analysis.render.page import Shown
from analysis.tables.headline import headline
from analysis.text.sentences import Answer, Claim, Finding, Number, Sentence, State
from analysis.text.short_labels import short_labels, shorten


def finding(
    state: State, effect: float, block: str = "a", phase: str = "late", unit: str = "×"
) -> Finding:
    claim = Claim((f"{block} {phase} {state}",))
    return Finding(
        state=state, claim=claim, part="in nats", measure="m", block=block, phase=phase,
        lr=0.1, effect=effect, unit=unit, pairs=3,
    )  # fmt: skip


def answer(*findings: Finding, key: str = "C6") -> Answer:
    claims = [f.claim for f in findings]
    return Answer(
        key=key, question="?", rule="", verdict=("Mixed.",), claims=claims, findings=findings
    )


def text(sentence: Sentence) -> str:
    return "".join(part if isinstance(part, str) else part.text for part in sentence)


def test_a_cell_has_its_state_when_it_holds_and_the_effects() -> None:
    found = answer(
        finding("supported", 0.030),
        finding("supported", 0.047),
        finding("open", 0.5, phase="early"),
        finding("open", 0.9, block="b"),
        finding("not estimable", float("nan"), block="c"),
    )
    table = matrix([found])
    assert table.blocks == ("a", "b", "c")
    (row,) = table.rows
    assert [cell.state for cell in row.cells] == ["supported", "open", "not estimable"]
    assert text(row.cells[0].sentence) == "late 0.030 to 0.047× (2 of 3)"
    assert [p.value for p in row.cells[0].sentence if isinstance(p, Number)] == [0.030, 0.047, 2, 3]


def test_an_effect_has_its_unit_and_of_several_measures_its_name() -> None:
    points = finding("supported", -2.4, phase="", unit="points")
    accuracy = replace(points, measure="accuracy")
    steps = replace(finding("supported", 0.5, phase=""), measure="steps")
    undecided = replace(steps, state="open")
    cells = {
        "all": matrix([answer(points)]),
        "named": matrix([answer(accuracy, undecided)]),
        "two": matrix([answer(accuracy, steps, replace(undecided, measure="loss"))]),
    }
    found = {name: text(table.rows[0].cells[0].sentence) for name, table in cells.items()}
    assert found == {
        "all": "-2.4 points",
        "named": "accuracy -2.4 points (1 of 2)",
        "two": "as claimed (2 of 3)",
    }


def test_findings_that_disagree_make_a_mixed_cell() -> None:
    found = answer(finding("supported", 0.1), finding("contradicted", 2.0, phase="early"))
    ((cell,),) = [row.cells for row in matrix([found]).rows]
    assert cell.state == "mixed"
    assert text(cell.sentence) == "early 2.0×; late 0.10×"


def test_a_claim_without_data_has_no_row() -> None:
    assert matrix([answer(finding("not estimable", float("nan")))]).rows == ()


def test_sentences_say_where_a_claim_holds_and_are_three_to_five() -> None:
    found = answer(finding("supported", 0.030), finding("open", 0.9, block="b"))
    foretold = replace(answer(key="Q8"), verdict=("Of 5 measures, 0 predict speed. More.",))
    said = [text(s) for s in summary([found, foretold], ("Of 6 runs, 0 diverged.",))]
    assert said[0] == (
        "The loss varies less along the gradient with batch normalization, late: in 1 of 2 "
        "architectures (a), ratio 0.030, in 1 of 2 comparisons (C6)."
    )
    assert said[1] == "Smoothness and speed: of 5 measures, 0 predict speed (Q8)."
    assert said[2] == "Of 1 verdicts on claims: 1 supported in part. Of 6 runs, 0 diverged."
    assert len(said) == 3


def test_at_most_eight_figures_stand_outside_all_figures() -> None:
    names = [f"{name}{i}" for i in range(3) for name in (
        "lr_sensitivity", "moment_speed_mean", "ics_depth_relative", "heatmap_landscape_loss_range",
        "forest_landscape_gradient_difference", "effective_beta", "speed_x", "test_accuracy",
        "activations_x", "heatmap_final_train_loss",
    )]  # fmt: skip
    figures = [
        Shown(name=n, title=n, caption="", numbers={}, file="", files=(), svg="") for n in names
    ]
    keys = ["C1", "C2", "C3", "C5", "C6", "C7", "C8", "Q1", "Q5", "Q8"]
    found = asked([answer(key=key) for key in keys], figures, figures[0])
    beside = [each.figure.name for each in found if each.figure]
    assert len(beside) == len(set(beside)) == MOST - 1
    assert figures[0].name not in beside


@pytest.mark.parametrize(
    ("label", "short"),
    [
        ("densenet(depth=13, growth=6)", "DenseNet-13"),
        ("vgg11(width=0.125)", "VGG-11"),
        ("resnet20", "ResNet-20"),
        ("deep_linear(depth=25)", "linear-25"),
        ("my_net(width=3)", "my_net(width=3)"),
        ("<script>", "<script>"),
    ],
)
def test_labels_are_short(label: str, short: str) -> None:
    names = short_labels([label])
    assert shorten(label, names) == short
    assert shorten(f"digits · {label}", names) == f"digits · {short}"


def test_two_of_one_short_label_stay_long() -> None:
    two = ["resnet(depth=14, width=0.5)", "resnet(depth=14, width=1)"]
    assert short_labels(two) == {label: label for label in two}


def test_a_headline_has_four_to_six_columns() -> None:
    assert headline("table3_training", ["x", "steps_to_target", "y", "test_accuracy", "z"]) == [
        0, 1, 2, 3,
    ]  # fmt: skip
    assert headline("another", list("abcdefgh")) == [0, 1, 2, 3, 4, 5]
