"""Which columns the tables have, and what is said beside their cells."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis import metrics
from analysis.metrics import Probed
from analysis.reductions import VIEWS, over_steps
from analysis.tables import columns
from analysis.tables.columns import Column
from analysis.tables.outcomes import averaged, better_of_two, shared, tuned
from analysis.tables.prediction_targets import at_evaluation


def recorded(wanted: Sequence[Probed], probes: dict[str, pd.DataFrame]) -> list[Probed]:
    """Those whose column some record holds."""
    return [item for item in wanted if item.column in probes[item.record]]


def probed(
    wanted: Sequence[Probed], probes: dict[str, pd.DataFrame], runs: pd.DataFrame
) -> list[Column]:
    """Columns of probe records, those that some record holds, over runs at all learning rates."""
    known = recorded(wanted, probes)
    first = {(item.record, item.when): item for item in known}
    at = {key: reduced(probes[item.record], item.when, runs) for key, item in first.items()}
    read = {
        item.measure.key: runs["cell_id"].map(at[item.record, item.when][item.column]).astype(float)
        for item in known
    }
    joined = runs.assign(**read)
    return [
        Column(
            measure=item.measure,
            value=item.measure.key,
            runs=joined,
            estimator=columns.interquartile,
            absent=_ABSENT[item.when],
            note=_reached if item.when == "loss" else _failure_counts,
        )
        for item in known
    ]


_ABSENT: dict[metrics.When, str] = {
    "early": "no reading off the plateau from 5 to 25 % of the run",
    "late": "no reading off the plateau in the second half of the run",
    "loss": "no reading after the block's level was reached",
    "end": "no reading off the plateau",
}


def reduced(probes: pd.DataFrame, when: metrics.When, runs: pd.DataFrame) -> pd.DataFrame:
    """A row a run: a view of the probes at a time."""
    if when == "loss":
        return over_steps.at_loss(probes, runs, runs["reached"])
    return {"early": over_steps.early, "late": over_steps.late, "end": over_steps.end}[when](
        probes, runs
    )


def missing(wanted: Sequence[Probed], probes: dict[str, pd.DataFrame]) -> str:
    """What cannot be estimated, and for want of which records; empty if nothing is wanting."""
    absent: dict[str, dict[str, None]] = {}
    known = recorded(wanted, probes)
    for item in wanted:
        if item not in known and not VIEWS[item.record].extra:
            absent.setdefault(VIEWS[item.record].description, {})[item.quantity] = None
    absences = [f"{', '.join(what)} (no run recorded {where})" for where, what in absent.items()]
    return f"Not estimable: {'; '.join(absences)}." if absences else ""


def trained(runs: pd.DataFrame) -> list[Column]:
    """Columns of outcomes, those that some run has: at the tuned rate, a shared one, and all."""
    runs = runs.assign(diverged=(runs["status"] == "diverged").astype(float))
    at_tuned, at_shared = tuned(runs), shared(runs)
    two, mean_lr = better_of_two(runs), averaged(runs)
    m, iqm, mean, spread = metrics, columns.interquartile, columns.restricted_mean, columns.spread
    wanted = [
        _chosen(m.STEPS, "time", at_tuned, mean, _reached_count),
        _chosen(m.FINAL_LOSS, "loss", at_tuned, columns.final, _learning_rates),
        _chosen(m.LOSS_SHARE, "loss_share", at_tuned, iqm, _learning_rates),
        _chosen(m.TRAIN_ACCURACY, "train_percent", at_tuned, iqm, _learning_rates),
        _chosen(m.ACCURACY, "accuracy", at_tuned, iqm, _learning_rates),
        _chosen(m.STEPS_SHARED, "time", at_shared, mean, _reached_count),
        _chosen(m.ACCURACY_SHARED, "accuracy", at_shared, iqm, _learning_rates),
        _chosen(m.STEPS_OF_TWO, "time", two, mean, _nothing),
        _chosen(m.ACCURACY_OF_TWO, "accuracy", two, iqm, _nothing),
        _chosen(m.STEPS_AVERAGED, "time", mean_lr, mean, _nothing),
        _chosen(m.ACCURACY_AVERAGED, "accuracy", mean_lr, iqm, _nothing),
        _alone(m.DIVERGED, "diverged", runs, columns.rate, _counted),
        _alone(m.STABLE_LR, "dead", runs, columns.largest_stable, _stability),
        _alone(m.STEPS_SPREAD, "time", runs, spread, _grid),
        _alone(m.ACCURACY_SPREAD, "accuracy", runs, spread, _grid),
        _relative(m.STEP_TIME, "seconds_per_step", runs),
        _relative(m.MEMORY, "peak_memory_bytes", runs),
    ]
    return [column for column in wanted if runs[column.value].notna().any()]


def matched(runs: pd.DataFrame, training: pd.DataFrame) -> list[Column]:
    """Columns of the test split where the training loss reached the block's target."""
    found = at_evaluation(runs, training)
    at = runs.assign(
        test_at=100 * found["test_accuracy"],
        loss_at=found["test_loss"],
        gap_at=(found["test_loss"] - found["smooth_loss"]).where(found["test_accuracy"].notna()),
    )
    wanted = {
        "test_at": metrics.TEST_AT_LOSS,
        "loss_at": metrics.LOSS_AT_LOSS,
        "gap_at": metrics.GAP_AT_LOSS,
    }
    return [
        Column(
            measure=measure,
            value=value,
            runs=at,
            estimator=columns.interquartile,
            note=_reached,
        )
        for value, measure in wanted.items()
        if at[value].notna().any()
    ]


def _chosen(
    measure: metrics.Measure,
    value: str,
    runs: pd.DataFrame,
    estimator: columns.Estimator,
    note: columns.Note,
) -> Column:
    """Each seed at one learning rate: seeds are all that pairs runs."""
    return Column(
        measure=measure,
        value=value,
        runs=runs,
        estimator=estimator,
        pair=("seed",),
        note=note,
        chosen=note in (_reached_count, _learning_rates),
        counts_reached=note is _reached_count,
    )


def _alone(
    measure: metrics.Measure,
    value: str,
    runs: pd.DataFrame,
    estimator: columns.Estimator,
    note: columns.Note,
) -> Column:
    """A number of all runs of a row, which nothing pairs with another row's."""
    return Column(measure=measure, value=value, runs=runs, estimator=estimator, pair=(), note=note)


def _relative(measure: metrics.Measure, value: str, runs: pd.DataFrame) -> Column:
    return Column(
        measure=measure,
        value=value,
        runs=runs,
        estimator=columns.interquartile,
        relative=True,
        note=_nothing,
    )


def _nothing(rows: pd.DataFrame) -> list[str]:
    return []


def _count(what: str, rows: pd.Series) -> str:
    return f"{what} {int(rows.sum())}/{len(rows)}" if rows.any() else ""


def _failure_counts(rows: pd.DataFrame) -> list[str]:
    counts = {name: rows["status"] == name for name in ("diverged", "time_limit")}
    return [*(_count(*item) for item in counts.items()), _count("stuck", rows["stuck"])]


def _reached(rows: pd.DataFrame) -> list[str]:
    return [*_failure_counts(rows), _count("level not reached", rows["reached"].isna())]


def _learning_rates(rows: pd.DataFrame) -> list[str]:
    """The learning rates of the chosen runs: "LR 0.1 (2 seeds), 0.01 (1 seed)"."""
    counts = rows["lr"].value_counts().sort_index(ascending=False)
    each = [f"{lr:g} ({n} seed{'s' if n > 1 else ''})" for lr, n in counts.items()]
    rates = ", ".join(each) if len(each) > 1 else f"{counts.index[0]:g}"
    return [f"LR {rates}", *rows["choice"].unique(), *_failure_counts(rows)]


def _reached_count(rows: pd.DataFrame) -> list[str]:
    return [
        f"reached by {int(columns.has_reached(rows).sum())}/{len(rows)}",
        *_learning_rates(rows),
    ]


def _counted(rows: pd.DataFrame) -> list[str]:
    return [f"{int(rows['diverged'].sum())}/{len(rows)}"]


def _stability(rows: pd.DataFrame) -> list[str]:
    """Whether the grid ends before the stable range does."""
    at_top = rows.loc[rows["lr"] == rows["lr"].max(), "dead"].astype(bool)
    every = rows["dead"].astype(bool).groupby(rows["lr"]).any().all()
    return ["none is stable" if every else "" if at_top.any() else "the largest of the grid"]


def _grid(rows: pd.DataFrame) -> list[str]:
    rates = rows["lr"].nunique()
    return [f"{rates} learning rate{'s' if rates > 1 else ''}"]
