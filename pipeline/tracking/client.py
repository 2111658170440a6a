"""MLflow as a mirror of the store: one experiment a sweep, one flat run a cell, one summary run.

A run is made when its cell has ended, from what the store holds, so that nothing is left RUNNING
and any cell can be mirrored again at any time. Tracking may fail; training does not notice.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pipeline.store import Store
from pipeline.tracking.owner import owner_tag
from pipeline.tracking.payload import dataset, parameters, points, run_name, source_tags
from pipeline.tracking.relocation import TrackingError, artifact_location, migration_lock
from pipeline.tracking.runs import (
    CELL,
    KIND,
    STORE,
    artifact_files,
    client_of,
    experiment_of,
    find_experiment,
    live_cells,
    live_runs,
    log_files,
    only_store,
    plain,
    runs_of,
    summary_run,
    sweep_names,
)
from pipeline.tracking.verify import DIGEST, ending_digests, is_mirror, sha256, verified_files

from mlflow import MlflowClient  # isort: skip — after what sets up its environment
from mlflow.entities import Dataset, DatasetInput, Experiment, InputTag  # isort: skip
from mlflow.entities import Metric, Param  # isort: skip
from mlflow.exceptions import MlflowException  # isort: skip
from mlflow.utils.validation import MAX_EXPERIMENT_TAG_VAL_LENGTH  # isort: skip

__all__ = [
    "TrackingError",
    "attach_report",
    "download",
    "mirror",
    "mirror_failure",
    "mirror_missing",
]
__all__ += ["prepare", "refuse_copy", "sync"]

_TRAINING_VIEW = {"mlflow.experimentKind": "custom_model_development"}
"""Makes the UI open the experiment on its runs, and not on its (absent) traces of agents."""


class Changes(NamedTuple):
    """What `sync` did: runs created, runs superseded, and runs checked against the store."""

    created: int
    superseded: int
    checked: int


@plain
def prepare(uri: str, sweep: str, description: str, store: Store) -> None:
    """Create the database and the sweep's experiment, and end runs that a dead process left.

    This is done before any run is made. Only the store's own runs are ended.

    Raises:
        TrackingError: if the server does not answer, or another store has the same id.
    """
    client = client_of(uri)
    with migration_lock(uri):
        experiment = find_experiment(client, sweep)
        own = owner_tag(uri, store, {} if experiment is None else experiment.tags)
        if experiment is None:
            location = artifact_location(uri, sweep)
            tags = {KIND: "sweep", "mlflow.note.content": _fitting(description), **_TRAINING_VIEW}
            tags |= own
            client.create_experiment(sweep, artifact_location=location, tags=tags)
            return
    for key, place in own.items() - experiment.tags.items():
        client.set_experiment_tag(experiment.experiment_id, key, place)
    for run in runs_of(client, experiment, store.store_id):
        if run.info.status == "RUNNING":
            client.set_tag(run.info.run_id, "superseded", "true")
            client.set_terminated(run.info.run_id, status="KILLED")


def _fitting(description: str) -> str:
    """The description, cut where MLflow would refuse it."""
    most = MAX_EXPERIMENT_TAG_VAL_LENGTH
    if len(description) <= most:
        return description
    print(
        f"tracking: the sweep's description has {len(description)} characters, MLflow takes "
        f"{most}; it is cut there, and whole in the sweep file and in the store's plan",
        file=sys.stderr,
    )
    return f"{description[: most - 1]}…"


@plain
def mirror(uri: str, sweep: str, store: Store, cell_id: str) -> None:
    """Make the run of a finished cell, with its parameters, coarse curves and record files."""
    client = client_of(uri)
    experiment = experiment_of(client, sweep)
    result = store.result(cell_id)
    files = store.files(result)
    ended = datetime.fromisoformat(result["provenance"]["time"]).timestamp()
    began = ended - result["cost"]["seconds"]
    run_id = _new_run(client, experiment, store.store_id, result, result["status"], began)
    client.set_tag(run_id, DIGEST, sha256(files["result.json"]))
    params = [Param(key, str(value)) for key, value in parameters(result)]
    metrics = [Metric(key, value, 0, step) for key, value, step in points(result, files)]
    client.log_batch(run_id, metrics=metrics, params=params)
    _log_dataset(client, run_id, result)
    log_files(client, run_id, CELL, files)
    client.set_terminated(run_id, status="FINISHED", end_time=_milliseconds(ended))


def _log_dataset(client: MlflowClient, run_id: str, result: Mapping[str, Any]) -> None:
    context = [InputTag("mlflow.data.context", "training")]
    inputs = [DatasetInput(Dataset(**dataset(result)), context)]
    try:
        client.log_inputs(run_id, inputs)
    except MlflowException:
        # MLflow looks whether the dataset is there, and then inserts it: another process may have
        # inserted it in between.
        client.log_inputs(run_id, inputs)


@plain
def mirror_failure(uri: str, sweep: str, store: Store, cell_id: str) -> None:
    """Make the run of a cell whose trial raised."""
    client = client_of(uri)
    failure = store.failure(cell_id)
    ended = datetime.fromisoformat(failure["time"]).timestamp()
    experiment = experiment_of(client, sweep)
    run_id = _new_run(client, experiment, store.store_id, failure, "failed", ended)
    client.set_tag(run_id, "error", failure["error"][:5000])
    client.set_tag(run_id, DIGEST, sha256(store.failure_bytes(cell_id)))
    log_files(client, run_id, CELL, {"failure.json": store.failure_bytes(cell_id)})
    client.set_terminated(run_id, status="FAILED")


@plain
def mirror_missing(uri: str, sweep: str, store: Store, cell_ids: Sequence[str]) -> None:
    """Mirror what is not mirrored yet, and the plans: MLflow alone is then enough for a report.

    Such are cells that another sweep of the store has run, and cells of a time without a server.
    """
    client = client_of(uri)
    experiment = experiment_of(client, sweep)
    live = live_cells(client, experiment, store.store_id)
    status = {cell_id: run.data.tags["status"] for cell_id, run in live.items()}
    standing = store.cell_states()
    for cell_id in cell_ids:
        if cell_id in standing.finished and status.get(cell_id) in (None, "failed"):
            mirror(uri, sweep, store, cell_id)
        elif cell_id in standing.failed and cell_id not in status:
            mirror_failure(uri, sweep, store, cell_id)
    plans = {f"{each}.json": store.plan_bytes(sweep, each) for each in store.plan_ids(sweep)}
    log_files(client, summary_run(client, experiment, store.store_id), "sweep", plans)


@plain
def sync(uri: str, sweep: str, store: Store, cell_ids: Sequence[str]) -> Changes:
    """Make the store's live runs equal to it: one for each ended cell, of its very result.

    A run is checked by the digests of its result and of every file: what is in order is kept, and
    the latest of several such. All else is superseded and made anew, and what was made is checked
    as well.

    Raises:
        TrackingError: if MLflow still differs from the store after that.
    """
    client = client_of(uri)
    experiment = experiment_of(client, sweep)
    expected = ending_digests(store, cell_ids)
    kept: set[str] = set()
    superseded = 0
    for run in reversed(live_runs(client, experiment, store.store_id)):
        cell_id = run.data.tags["cell_id"]
        if cell_id not in kept and is_mirror(client, run, expected.get(cell_id)):
            kept.add(cell_id)
        else:
            client.set_tag(run.info.run_id, "superseded", "true")
            superseded += 1
    mirror_missing(uri, sweep, store, cell_ids)
    live = live_cells(client, experiment, store.store_id)
    differing = [
        cell
        for cell, ending in expected.items()
        if cell not in kept and not (cell in live and is_mirror(client, live[cell], ending))
    ]
    if differing or set(live) != set(expected):
        cells = sorted({*differing, *(set(live) ^ set(expected))})
        raise TrackingError(
            f"{sweep}: MLflow still differs from the store in {len(cells)} cells, the first "
            f"{cells[0]}; is a driver running it now? else MLflow does not keep what it is given"
        )
    return Changes(len(expected) - len(kept), superseded, len(expected))


@plain
def refuse_copy(uri: str, sweep: str, store: Store) -> None:
    """Refuse a store that has the id of the one whose runs MLflow has.

    Raises:
        TrackingError: as `owner_tag` does.
    """
    owner_tag(uri, store, experiment_of(client_of(uri), sweep).tags)


@plain
def attach_report(
    uri: str,
    sweep: str,
    folder: str,
    store_id: str | None,
    note: str,
    counts: Mapping[str, float],
) -> None:
    """Attach a report's folder to a store's summary run, its findings as the run's note.

    Args:
        store_id: whose report it is; or how that begins; None: of the only store there.
        note: Markdown.
        counts: the run's metrics.
    """
    client = client_of(uri)
    experiment = experiment_of(client, sweep)
    own = only_store(client, experiment, None) if store_id is None else store_id
    run_id = summary_run(client, experiment, own)
    client.set_tag(run_id, "mlflow.note.content", note)
    client.set_tag(run_id, "mlflow.source.name", "python -m analysis.report")
    client.set_tag(run_id, "mlflow.source.type", "LOCAL")
    client.log_batch(run_id, metrics=[Metric(key, n, 0, 0) for key, n in counts.items()])
    client.log_artifacts(run_id, folder, "report")


@plain
def download(
    uri: str, sweeps: Sequence[str], folder: str, store_id: str | None = None
) -> dict[str, str]:
    """Make a store in ``folder`` from MLflow alone, byte for byte that which was mirrored.

    Args:
        store_id: which store's runs to read where several have tracked a sweep, or how it begins.

    Returns:
        By sweep, the id of the store whose runs were read.

    Raises:
        TrackingError: if the server does not answer, a sweep is not there, or several stores have
        it and none is named.
    """
    client = client_of(uri)
    store, owners = Store(folder), {}
    for sweep in sweeps or sweep_names(client):
        experiment = experiment_of(client, sweep)
        owners[sweep] = own = only_store(client, experiment, store_id)
        summary = summary_run(client, experiment, own)
        for name, data in artifact_files(client, summary, "sweep").items():
            store.write_file(f"sweeps/{sweep}/{name}", data)
        for cell_id, run in live_cells(client, experiment, own).items():
            for name, data in verified_files(client, run).items():
                store.write_file(f"cells/{cell_id}/{name}", data)
    if len(set(owners.values())) == 1:
        store.write_identity(next(iter(owners.values())))
    return owners


def _new_run(
    client: MlflowClient,
    experiment: Experiment,
    store_id: str,
    trial: Mapping[str, Any],
    status: str,
    began: float,
) -> str:
    """Start a cell's run, superseding the runs of its earlier trials in the same store."""
    cell_id, labels = trial["cell_id"], trial["labels"]
    earlier = f"tags.cell_id = '{cell_id}' AND tags.`{STORE}` = '{store_id}'"
    for run in client.search_runs([experiment.experiment_id], filter_string=earlier):
        client.set_tag(run.info.run_id, "superseded", "true")
    tags = {KIND: CELL, "cell_id": cell_id, "status": status, STORE: store_id}
    tags |= {name: str(labels[name]) for name in ("data", "architecture", "normalizer")}
    tags |= {"lr": f"{labels['lr']:g}", "seed": str(labels["seed"])}
    tags |= source_tags(trial)
    start = _milliseconds(began)
    run = client.create_run(experiment.experiment_id, start, tags=tags, run_name=run_name(labels))
    return run.info.run_id


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)
