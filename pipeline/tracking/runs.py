"""MLflow's side of the mirror: its client, a sweep's experiment, and the runs of one store in it.

Runs belong to the store that they mirror: they bear its id. Several stores may have sweeps of one
name on one server; none touches the runs of another.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from functools import cache, wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

# A dead server must cost seconds, not the client's default of minutes; nothing is sent elsewhere.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "4")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

from mlflow import MlflowClient
from mlflow.entities import Experiment, Run, ViewType
from mlflow.exceptions import MlflowException

from pipeline.cli import redact
from pipeline.tracking.relocation import TrackingError, migration_lock, relocate

logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)

_P = ParamSpec("_P")
_T = TypeVar("_T")

KIND = "normscope.kind"
CELL, SUMMARY = "cell", "summary"
STORE = "normscope.store"
"""The tag that says whose mirror a run is: a store's id."""
_SYNC = "run the sweep's file with --sync"


def plain(action: Callable[_P, _T]) -> Callable[_P, _T]:
    """Whatever MLflow or its storage raises in the action becomes a `TrackingError` of one line."""

    @wraps(action)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return action(*args, **kwargs)
        except (MlflowException, OSError) as error:
            reason = (redact(str(error)).strip() or type(error).__name__).splitlines()[0][:300]
            raise TrackingError(f"MLflow: {reason}") from None

    return wrapped


@cache
def client_of(uri: str) -> MlflowClient:
    """MLflow's client, known to get an answer; the paths in a moved database are put right first.

    Raises:
        TrackingError: if there is no answer.
    """
    try:
        with migration_lock(uri):
            client = MlflowClient(uri)
            client.search_experiments(max_results=1)
            relocate(uri)
    except TrackingError:
        raise
    except Exception as error:  # the store behind a URI may raise anything
        reason = redact(str(error)).strip().splitlines()[0][:200]
        raise TrackingError(f"{redact(uri)}: cannot be used for tracking: {reason}") from None
    return client


def experiment_of(client: MlflowClient, sweep: str) -> Experiment:
    """The experiment of a sweep.

    Raises:
        TrackingError: if there is none, or it was deleted; the message says what to do.
    """
    experiment = find_experiment(client, sweep)
    if experiment is None:
        names = ", ".join(sweep_names(client)) or "none"
        raise TrackingError(f"{sweep}: no such sweep in MLflow; it has: {names}; {_SYNC} to add it")
    return experiment


def find_experiment(client: MlflowClient, sweep: str) -> Experiment | None:
    """The experiment of a sweep; None where there is none.

    Raises:
        TrackingError: if it was deleted in MLflow, which keeps its name taken.
    """
    experiment = client.get_experiment_by_name(sweep)
    if experiment is not None and experiment.lifecycle_stage == "deleted":
        uri, number = redact(str(client.tracking_uri)), experiment.experiment_id
        raise TrackingError(
            f"{sweep}: its experiment is deleted in MLflow; to bring it back: MLFLOW_TRACKING_URI="
            f"{uri} mlflow experiments restore --experiment-id {number}; to remove it for good: "
            f"mlflow gc --backend-store-uri {uri} --experiment-ids {number}; then {_SYNC}"
        )
    return experiment


def sweep_names(client: MlflowClient) -> list[str]:
    """Names of the sweeps that MLflow has, sorted."""
    found = client.search_experiments(filter_string=f"tags.`{KIND}` = 'sweep'")
    return sorted(experiment.name for experiment in found)


def runs_of(client: MlflowClient, experiment: Experiment, store_id: str) -> list[Run]:
    """All runs of a store, the earliest first."""
    runs, token = [], None
    while True:
        page = client.search_runs(
            [experiment.experiment_id],
            filter_string=f"tags.`{STORE}` = '{store_id}'",
            run_view_type=ViewType.ACTIVE_ONLY,
            max_results=1000,
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        runs += page
        if not (token := page.token):
            return runs


def live_runs(client: MlflowClient, experiment: Experiment, store_id: str) -> list[Run]:
    """Ended runs of cells that none has superseded, the earliest first."""
    return [
        run
        for run in runs_of(client, experiment, store_id)
        if run.data.tags.get(KIND) == CELL
        and run.data.tags.get("superseded") != "true"
        and run.info.status in ("FINISHED", "FAILED")
    ]


def live_cells(client: MlflowClient, experiment: Experiment, store_id: str) -> dict[str, Run]:
    """The latest ended run of every cell."""
    return {run.data.tags["cell_id"]: run for run in live_runs(client, experiment, store_id)}


def summaries(client: MlflowClient, experiment: Experiment) -> dict[str, str]:
    """By store, the id of the sweep's summary run."""
    where = f"tags.`{KIND}` = '{SUMMARY}'"
    found = client.search_runs([experiment.experiment_id], filter_string=where)
    known = [run for run in found if STORE in run.data.tags]
    return {run.data.tags[STORE]: run.info.run_id for run in known}


def only_store(client: MlflowClient, experiment: Experiment, wanted: str | None) -> str:
    """The store that a sweep is to be read of: the wanted one, or that which alone has tracked it.

    Raises:
        TrackingError: if there is none, or several and none is wanted.
    """
    found, sweep = summaries(client, experiment), experiment.name
    if not found:
        raise TrackingError(f"{sweep}: has no plan in MLflow yet; run the sweep to its end")
    fitting = [each for each in sorted(found) if each.startswith(wanted or "")]
    if len(fitting) != 1:
        asked = f", not {wanted}" if wanted else ""
        counts = {each: len(live_cells(client, experiment, each)) for each in sorted(found)}
        stores = ", ".join(f"{each} ({count} cells)" for each, count in counts.items())
        raise TrackingError(
            f"{sweep}: MLflow has it of these stores{asked}: {stores}; name one by --tracking-store"
        )
    return fitting[0]


def summary_run(client: MlflowClient, experiment: Experiment, store_id: str) -> str:
    """The id of a store's summary run of the sweep; made if need be."""
    existing = summaries(client, experiment).get(store_id)
    if existing is not None:
        return existing
    tags = {KIND: SUMMARY, STORE: store_id}
    name = f"summary of {experiment.name}"
    run = client.create_run(experiment.experiment_id, tags=tags, run_name=name)
    client.set_terminated(run.info.run_id, status="FINISHED")
    return run.info.run_id


def log_files(client: MlflowClient, run_id: str, folder: str, files: Mapping[str, bytes]) -> None:
    """Add files to a run."""
    with tempfile.TemporaryDirectory() as place:
        for name, data in files.items():
            (Path(place) / name).write_bytes(data)
        client.log_artifacts(run_id, place, folder)


def artifact_files(client: MlflowClient, run_id: str, folder: str) -> dict[str, bytes]:
    """A run's files by name.

    Raises:
        TrackingError: if they are not where MLflow has them.
    """
    with tempfile.TemporaryDirectory() as place:
        try:
            path = client.download_artifacts(run_id, folder, place)
        except (MlflowException, OSError) as error:
            reason = redact(str(error)).strip().splitlines()[0][:200]
            raise TrackingError(
                f"run {run_id}: its {folder} files are not where MLflow has them: {reason}; if the "
                f"results were moved, move mlflow-artifacts along with mlflow.db, or {_SYNC}"
            ) from None
        return {file.name: file.read_bytes() for file in sorted(Path(path).iterdir())}
