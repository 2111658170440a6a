"""MLflow as a mirror of the store: one experiment a sweep, one flat run a cell, one summary run.

A run is made when its cell has ended, from what the store holds, so that nothing is left RUNNING
and any cell can be mirrored again at any time. Tracking may fail; training does not notice.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

# A dead server must cost seconds, not the client's default of minutes; nothing is sent elsewhere.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "4")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Param, Run, ViewType
from mlflow.exceptions import MlflowException

from pipeline.cli.redaction import redact
from pipeline.store.store import Store
from pipeline.tracking.payload import parameters, points

logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)

_SQLITE = "sqlite:///"
_KIND = "normscope.kind"
_CELL, _SUMMARY = "cell", "summary"
_DIGEST = "result_sha256"
"""The tag that says of which result (or failure) a run is the mirror."""
_TRAINING_VIEW = {"mlflow.experimentKind": "custom_model_development"}
"""Makes the UI open the experiment on its runs, and not on its (absent) traces of agents."""


class TrackingError(ValueError):
    """The tracking server cannot be used as asked; the message says why in one line."""


def prepare(uri: str, sweep: str, description: str) -> None:
    """Create the database and the sweep's experiment, and end runs that a dead process left.

    This is done before any run is made.
    """
    client = _client(uri)
    with _alone(uri):
        experiment = client.get_experiment_by_name(sweep)
        if experiment is None:
            location = _artifact_location(uri, sweep)
            tags = {_KIND: "sweep", "mlflow.note.content": description, **_TRAINING_VIEW}
            client.create_experiment(sweep, artifact_location=location, tags=tags)
            return
    for run in _runs(client, experiment):
        if run.info.status == "RUNNING":
            client.set_tag(run.info.run_id, "superseded", "true")
            client.set_terminated(run.info.run_id, status="KILLED")


def mirror(uri: str, sweep: str, store: Store, cell_id: str) -> None:
    """Make the run of a finished cell, with its parameters, coarse curves and record files."""
    client = _client(uri)
    experiment = _experiment(client, sweep)
    result = store.result(cell_id)
    files = store.files(result)
    ended = datetime.fromisoformat(result["provenance"]["time"]).timestamp()
    began = ended - result["cost"]["seconds"]
    run_id = _new_run(client, experiment, result, result["status"], began)
    client.set_tag(run_id, _DIGEST, _digest(files["result.json"]))
    params = [Param(key, str(value)) for key, value in parameters(result)]
    metrics = [Metric(key, value, 0, step) for key, value, step in points(result, files)]
    client.log_batch(run_id, metrics=metrics, params=params)
    _log_files(client, run_id, _CELL, files)
    client.set_terminated(run_id, status="FINISHED", end_time=_milliseconds(ended))


def mirror_failure(uri: str, sweep: str, store: Store, cell_id: str) -> None:
    """Make the run of a cell whose trial raised."""
    client = _client(uri)
    failure = store.failure(cell_id)
    ended = datetime.fromisoformat(failure["time"]).timestamp()
    run_id = _new_run(client, _experiment(client, sweep), failure, "failed", ended)
    client.set_tag(run_id, "error", failure["error"][:5000])
    client.set_tag(run_id, _DIGEST, _digest(store.failure_bytes(cell_id)))
    _log_files(client, run_id, _CELL, {"failure.json": store.failure_bytes(cell_id)})
    client.set_terminated(run_id, status="FAILED")


def complete(uri: str, sweep: str, store: Store, cell_ids: Sequence[str]) -> None:
    """Mirror what is not mirrored yet, and the plan: MLflow alone is then enough for a report.

    Such are cells that another sweep of the store has run, and cells of a time without a server.
    """
    client = _client(uri)
    experiment = _experiment(client, sweep)
    live = _live_cells(client, experiment)
    status = {cell_id: run.data.tags["status"] for cell_id, run in live.items()}
    standing = store.standing()
    for cell_id in cell_ids:
        if cell_id in standing.finished and status.get(cell_id) in (None, "failed"):
            mirror(uri, sweep, store, cell_id)
        elif cell_id in standing.failed and cell_id not in status:
            mirror_failure(uri, sweep, store, cell_id)
    run_id = _summary_run(client, experiment)
    _log_files(client, run_id, "sweep", {f"{sweep}.json": store.plan_bytes(sweep)})


def sync(uri: str, sweep: str, store: Store, cell_ids: Sequence[str]) -> dict[str, int]:
    """Make the live runs equal to the store: one for each ended cell, of its very result.

    Returns:
        How many runs were set aside (of other results, or twice), and how many were made.
    """
    client = _client(uri)
    experiment = _experiment(client, sweep)
    standing, kept = store.standing(), set()
    ended = standing.finished | standing.failed
    told = {c: _digest(store.ending_bytes(c)) for c in cell_ids if c in ended}
    aside = 0
    for run in reversed(_live_runs(client, experiment)):  # the latest of equal ones is kept
        tags = run.data.tags
        if tags["cell_id"] not in kept and tags.get(_DIGEST) == told.get(tags["cell_id"], ""):
            kept.add(tags["cell_id"])
        else:
            client.set_tag(run.info.run_id, "superseded", "true")
            aside += 1
    complete(uri, sweep, store, cell_ids)
    return {"set aside": aside, "made": len(told) - len(kept)}


def _digest(ending: bytes) -> str:
    return hashlib.sha256(ending).hexdigest()


def attach_report(uri: str, sweep: str, folder: str) -> None:
    """Attach a report's folder to the sweep's summary run."""
    client = _client(uri)
    run_id = _summary_run(client, _experiment(client, sweep))
    client.log_artifacts(run_id, folder, "report")


def download(uri: str, sweeps: Sequence[str], folder: str) -> None:
    """Make a store in ``folder`` from MLflow alone, byte for byte that which was mirrored.

    Raises:
        TrackingError: if the server does not answer, or a sweep is not there.
    """
    client = _client(uri)
    store = Store(folder)
    for sweep in sweeps or _sweep_names(client):
        experiment = _experiment(client, sweep)
        summary = _existing_summary(client, experiment)
        if summary is None:
            raise TrackingError(f"{sweep}: has no plan in MLflow yet; run the sweep to its end")
        for name, data in _artifact_files(client, summary, "sweep").items():
            store.write_file(f"sweeps/{name}", data)
        for cell_id, run in _live_cells(client, experiment).items():
            for name, data in _artifact_files(client, run.info.run_id, _CELL).items():
                store.write_file(f"cells/{cell_id}/{name}", data)


@cache
def _client(uri: str) -> MlflowClient:
    try:
        with _alone(uri):
            client = MlflowClient(uri)
            client.search_experiments(max_results=1)
    except Exception as error:  # the store behind a URI may raise anything
        reason = redact(str(error)).strip().splitlines()[0][:200]
        raise TrackingError(f"{redact(uri)}: cannot be used for tracking: {reason}") from None
    return client


def _alone(uri: str) -> AbstractContextManager[Any]:
    """Processes that open a fresh SQLite database at once collide in its migration."""
    if not uri.startswith(_SQLITE):
        return nullcontext()
    return FileLock(f"{uri.removeprefix(_SQLITE)}.lock")


def _experiment(client: MlflowClient, sweep: str) -> Experiment:
    experiment = client.get_experiment_by_name(sweep)
    if experiment is None:
        names = ", ".join(_sweep_names(client)) or "none"
        raise TrackingError(f"{sweep}: no such sweep in MLflow; it has: {names}")
    return experiment


def _sweep_names(client: MlflowClient) -> list[str]:
    found = client.search_experiments(filter_string=f"tags.`{_KIND}` = 'sweep'")
    return sorted(experiment.name for experiment in found)


def _artifact_location(uri: str, sweep: str) -> str | None:
    """Beside a SQLite file, wherever the command runs; a server decides for itself."""
    if not uri.startswith(_SQLITE):
        return None
    folder = Path(uri.removeprefix(_SQLITE)).resolve().parent
    return (folder / "mlflow-artifacts" / sweep).as_uri()


def _runs(client: MlflowClient, experiment: Experiment) -> list[Run]:
    runs, token = [], None
    while True:
        page = client.search_runs(
            [experiment.experiment_id],
            run_view_type=ViewType.ACTIVE_ONLY,
            max_results=1000,
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        runs += page
        if not (token := page.token):
            return runs


def _live_cells(client: MlflowClient, experiment: Experiment) -> dict[str, Run]:
    """The latest ended run of every cell."""
    return {run.data.tags["cell_id"]: run for run in _live_runs(client, experiment)}


def _live_runs(client: MlflowClient, experiment: Experiment) -> list[Run]:
    """Ended runs of cells that none has superseded, the earliest first."""
    return [
        run
        for run in _runs(client, experiment)
        if run.data.tags.get(_KIND) == _CELL
        and run.data.tags.get("superseded") != "true"
        and run.info.status in ("FINISHED", "FAILED")
    ]


def _new_run(
    client: MlflowClient,
    experiment: Experiment,
    trial: Mapping[str, Any],
    status: str,
    began: float,
) -> str:
    """Start a cell's run, setting aside the runs of its earlier trials."""
    cell_id, labels = trial["cell_id"], trial["labels"]
    for run in client.search_runs(
        [experiment.experiment_id], filter_string=f"tags.cell_id = '{cell_id}'"
    ):
        client.set_tag(run.info.run_id, "superseded", "true")
    tags = {_KIND: _CELL, "cell_id": cell_id, "status": status}
    tags |= {name: str(labels[name]) for name in ("data", "architecture", "normalizer")}
    tags |= {"lr": f"{labels['lr']:g}", "seed": str(labels["seed"])}
    name = "{normalizer} · {architecture} · lr {lr} · seed {seed}".format(**tags)
    start = _milliseconds(began)
    run = client.create_run(experiment.experiment_id, start, tags=tags, run_name=name)
    return run.info.run_id


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


def _existing_summary(client: MlflowClient, experiment: Experiment) -> str | None:
    found = client.search_runs(
        [experiment.experiment_id], filter_string=f"tags.`{_KIND}` = '{_SUMMARY}'", max_results=1
    )
    return found[0].info.run_id if found else None


def _summary_run(client: MlflowClient, experiment: Experiment) -> str:
    existing = _existing_summary(client, experiment)
    if existing is not None:
        return existing
    name = f"summary of {experiment.name}"
    run = client.create_run(experiment.experiment_id, tags={_KIND: _SUMMARY}, run_name=name)
    client.set_terminated(run.info.run_id, status="FINISHED")
    return run.info.run_id


def _log_files(client: MlflowClient, run_id: str, folder: str, files: Mapping[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as place:
        for name, data in files.items():
            (Path(place) / name).write_bytes(data)
        client.log_artifacts(run_id, place, folder)


def _artifact_files(client: MlflowClient, run_id: str, folder: str) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as place:
        try:
            path = client.download_artifacts(run_id, folder, place)
        except MlflowException as error:
            raise TrackingError(f"run {run_id}: its {folder} files: {error}") from None
        return {file.name: file.read_bytes() for file in sorted(Path(path).iterdir())}
