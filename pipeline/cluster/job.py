"""A `ray up` cluster as a target: its file checked, and a sweep run on it as a Ray job.

    python -m pipeline.cluster cluster.yaml           what is wrong with the file, without a network
    python -m pipeline.sweep FILE --cluster cluster.yaml

The job is the same command on the head. It needs this machine to be submitted, and to be watched,
but not to run; whoever gives the same command again watches it again.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import hashlib
import json
import logging
import os
import shlex
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.catalog import own_parts
from pipeline.cli import SpecError, redact
from pipeline.cluster.checkout import Checkout, committed_checkout
from pipeline.cluster.tunnel import tunnel
from pipeline.cluster.validate import problems
from pipeline.spec import Sweep

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

_LOCK = Path(__file__).resolve().parents[2] / "requirements.lock"
_STOP_SECONDS = 60
"""What a sweep has to end its cells in, before it is killed."""
_AGAIN_SECONDS = 3.0
"""Within which a second Ctrl-C stops the sweep itself."""
_MODULES = "ray.dashboard.modules"
_RETRIES = 5
"""How often a lost connection is made again, without a word from the cluster in between."""
_ENVIRONMENT_CHECK = (
    "cmp -s requirements.lock \"$(python -c 'import sys; print(sys.prefix)')/../requirements.lock\""
    " || { echo 'the cluster has the environment of another requirements.lock; run ray up again, or"
    " give its pods an image with this checkout (docker build .): its python must be the one of"
    " a .venv that lies beside a copy of this requirements.lock'; exit 2; }; "
)
_STORAGE_CHECK = ': "${NORMSCOPE_STORAGE:?is not set on the cluster; give --storage}"; '


def check(path: str | Path) -> list[SpecError]:
    """Everything wrong with a cluster file: what Ray's schema refuses, or else what it passes."""
    return problems(path, _LOCK, _schema_problems)


def _schema_problems(content: Mapping[str, Any]) -> list[SpecError]:
    import click
    import jsonschema
    from ray.autoscaler._private.util import prepare_config, validate_config

    logging.getLogger("ray").setLevel(logging.WARNING)
    try:
        with redirect_stderr(StringIO()):
            validate_config(prepare_config(copy.deepcopy(dict(content))))
    except jsonschema.ValidationError as error:
        return [SpecError(error.message.partition("\n")[0], _path(error.absolute_path))]
    except (click.ClickException, ValueError, RuntimeError) as error:
        return [SpecError(f"Ray refuses it: {str(error).partition(chr(10))[0]}")]
    except (KeyError, TypeError, AttributeError) as error:
        return [SpecError(f"Ray cannot read it ({error!r}); compare it with cluster.yaml")]
    return []


def _path(parts: Iterable[str | int]) -> str:
    """A key path as our messages write it: ``setup_commands[1]``."""
    words = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts]
    return "".join(words).lstrip(".")


def run_on_cluster(sweep: Sweep, where: str, words: Sequence[str], *, stop: bool) -> int:
    """Run a sweep on a cluster, watch it, and give its exit code; or stop it.

    A sweep has one job at a time. If it is running, it is watched; if not, it is submitted. Ctrl-C
    ends the watching; a second one right after it, or ``stop``, interrupts the sweep, as Ctrl-C
    does on one machine: finished cells are kept, and the same command goes on.

    Args:
        sweep: what to run, as read here.
        where: a `ray up` file, or the address of a dashboard, as http://127.0.0.1:8265.
        words: the command's other options, for the head.
        stop: stop the sweep's job instead.

    Raises:
        ValueError: if the cluster cannot be reached, or runs the sweep with other settings, or the
            code here is not committed.
    """
    if not where.startswith("http") and (found := check(where)):
        raise ValueError("\n".join(map(str, found)))
    job, shown, retries = None, 0, _RETRIES
    while True:
        with ExitStack() as stack:
            client = _client(where, stack)
            if stop:
                return _stop(client, _current(client, sweep.name))
            job = job or _job(client, sweep, words)
            before = shown
            try:
                shown, ended = asyncio.run(_watch(client, job, shown))
            except KeyboardInterrupt:
                return _detach(client, job)
            if ended:
                return _exit_code(client.get_job_info(job))
        retries = _RETRIES if shown > before else retries - 1
        if not retries:
            raise ValueError("the cluster does not answer; the same command watches again")
        print("connection lost, trying again; the sweep goes on", file=sys.stderr)
        time.sleep(1)


def _client(where: str, stack: ExitStack) -> JobSubmissionClient:
    from ray.job_submission import JobSubmissionClient

    for name in ("ray", f"{_MODULES}.dashboard_sdk", f"{_MODULES}.job.sdk"):
        logging.getLogger(name).setLevel(logging.WARNING)  # they tell of every file that they send
    address = where if where.startswith("http") else stack.enter_context(tunnel(where))
    try:
        return JobSubmissionClient(address)
    except (ConnectionError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"--cluster {where}: {reason}") from None


def _job(client: JobSubmissionClient, sweep: Sweep, words: Sequence[str]) -> str:
    """The sweep's running job, or a new one."""
    digest = _digest(sweep, words)
    running = _current(client, sweep.name)
    if running is None:
        with committed_checkout(sweep.path, own_parts.snapshot()) as code:
            return _submit(client, sweep.name, digest, code, words)
    metadata, submission = running.metadata or {}, str(running.submission_id)
    if metadata["digest"] != digest:
        raise ValueError(
            f"{sweep.name} is running there as {submission}, with other settings; "
            "stop it first, by the same command with --stop"
        )
    commit = metadata["commit"][:12]
    print(f"{submission} is running, commit {commit}; Ctrl-C leaves it so", file=sys.stderr)
    return submission


def _digest(sweep: Sweep, words: Sequence[str]) -> str:
    """What makes two commands the same: cells and options."""
    whole = [sweep.name, [cell.cell_id for cell in sweep.cells], list(words)]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:8]


def _jobs(client: JobSubmissionClient, name: str) -> list[JobDetails]:
    return [job for job in client.list_jobs() if (job.metadata or {}).get("sweep") == name]


def _current(client: JobSubmissionClient, name: str) -> JobDetails | None:
    return next((job for job in _jobs(client, name) if not job.status.is_terminal()), None)


def _submit(
    client: JobSubmissionClient, name: str, digest: str, code: Checkout, words: Sequence[str]
) -> str:
    os.environ["RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES"] = "__pycache__"  # .git comes along
    stopping = {
        "RAY_JOB_STOP_SIGNAL": "SIGINT",
        "RAY_JOB_STOP_WAIT_TIME_S": str(_STOP_SECONDS),
    }
    try:
        submission = client.submit_job(
            entrypoint=entrypoint(code, words),
            submission_id=f"normscope-{name}-{digest}-{len(_jobs(client, name)) + 1}",
            runtime_env={"working_dir": str(code.folder), "env_vars": stopping},
            metadata={"sweep": name, "digest": digest, "commit": code.commit},
        )
    except RuntimeError as error:  # another one has just submitted it, for instance
        reason = str(error).strip().splitlines()[-1]
        raise ValueError(f"the cluster did not take {name}: {reason}") from None
    print(f"{submission}: submitted, commit {code.commit[:12]}", file=sys.stderr)
    return submission


def entrypoint(code: Checkout, words: Sequence[str]) -> str:
    """A job's shell command: the sweep, if the cluster has its environment and a place for results.

    Raises:
        ValueError: if an option would lose the results, or show a secret on Ray's dashboard.
    """
    if any(redact(word) != word for word in words):
        raise ValueError(
            "--cluster: the job's command would show a password; give that option where the "
            "cluster starts Ray, as MLFLOW_TRACKING_URI in ~/normscope.env"
        )
    storage = "" if _given_storage(words) else _STORAGE_CHECK
    own = ["--set", f"parts={json.dumps(dict(code.parts))}"] if code.parts else []
    command = shlex.join(["python", "-m", "pipeline.sweep", code.sweep, *words, *own])
    return f"{_ENVIRONMENT_CHECK}{storage}exec {command}"


def _given_storage(words: Sequence[str]) -> str | None:
    """The --storage among the options, which has to be a place that outlives the job."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--storage")
    storage = parser.parse_known_args(words)[0].storage
    if storage and "://" not in storage and not storage.startswith("/"):
        raise ValueError(
            f"--storage {storage} would be a folder of the job's; give a URI, or a path from / on "
            "that every machine of the cluster has in common"
        )
    return storage


async def _watch(client: JobSubmissionClient, job: str, shown: int) -> tuple[int, bool]:
    """Print what a job says after its first ``shown`` characters; how far it came, and its end."""
    import aiohttp

    length = 0
    try:
        async for text in client.tail_job_logs(job):
            length += len(text)
            if length > shown:
                sys.stderr.write(text[shown - length :])
                sys.stderr.flush()
                shown = length
        return shown, client.get_job_info(job).status.is_terminal()
    except (RuntimeError, OSError, aiohttp.ClientError):
        return shown, False


def _detach(client: JobSubmissionClient, job: str) -> int:
    print(
        f"\n{job} goes on without this machine; the same command watches it again. "
        f"Ctrl-C within {_AGAIN_SECONDS:.0f} s stops it.",
        file=sys.stderr,
    )
    try:
        time.sleep(_AGAIN_SECONDS)
    except KeyboardInterrupt:
        return _stop(client, client.get_job_info(job))
    return 130


def _stop(client: JobSubmissionClient, job: JobDetails | None) -> int:
    if job is None or job.status.is_terminal():
        print("nothing of this sweep is running there", file=sys.stderr)
        return 0
    submission = str(job.submission_id)
    print(f"stopping {submission}, for at most {_STOP_SECONDS} s", file=sys.stderr)
    client.stop_job(submission)
    while not client.get_job_info(submission).status.is_terminal():
        time.sleep(0.2)
    print("stopped: finished cells are kept; the same command goes on", file=sys.stderr)
    return 130


def _exit_code(job: JobDetails) -> int:
    if job.status == "STOPPED":
        return 130
    if job.driver_exit_code is None:  # it never came to run
        print(job.message, file=sys.stderr)
        return 1
    return job.driver_exit_code
