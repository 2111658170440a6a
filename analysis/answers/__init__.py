"""Every claim and question gets a verdict that is computed, worded by rule, or says why not."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.answers import (
    counterclaims as counter,
)
from analysis.answers import (
    paper_claims as paper,
)
from analysis.answers import (
    reviewer_questions as reviewers,
)
from analysis.answers import (
    tuning,
)
from analysis.answers.evidence import Evidence, estimate
from analysis.answers.matrix import MARKS, Cell, Matrix, matrix
from analysis.answers.summary import summary
from analysis.tables import Table, TableInputs
from analysis.text import Answer

__all__ = ["MARKS", "Cell", "Matrix", "build", "estimate", "matrix", "summary"]


def build(basis: TableInputs, tables: Sequence[Table], figures: Sequence[str] = ()) -> list[Answer]:
    """C1–C12 of the paper, K1–K4 of its critics, Q1–Q9 of its reviewers; and the tuning views.

    Args:
        tables: of `tables.build_tables`. figures: names of the report's figures.
    """
    evidence = Evidence(basis, tables)
    asked = reviewers.build(evidence, figures)
    return [*paper.build(evidence), *counter.build(evidence), *asked, tuning.build(evidence)]
