"""The RayJob that is printed has the shape that KubeRay's API asks for, and runs this checkout.

The schema is the part of KubeRay's that a manifest of ours can touch, written down from its types:
RayJobSpec, RayClusterSpec, AuthOptions, HeadGroupSpec and WorkerGroupSpec in
https://github.com/ray-project/kuberay (ray-operator/apis/ray/v1), and PodSpec of Kubernetes. Unlike
the API server, which drops them, it refuses fields that it does not know.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pipeline.cluster.command import main

ROOT = Path(__file__).parents[3]
SWEEP = str(ROOT / "sweeps/quickstart.yaml")
OPTIONS = ["--image", "registry/normscope:1", "--storage", "s3://bucket/results"]


def fields(required: str = "", **properties: Any) -> dict[str, Any]:
    shape = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**shape, "required": required.split()}


def listed(of: Any) -> dict[str, Any]:
    return {"type": "array", "items": of, "minItems": 1}


TEXT = {"type": "string", "minLength": 1}
COUNT = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
NAME = {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}
QUANTITY = {"type": "string", "pattern": r"^\d+(\.\d+)?(m|[kMGTPE]i?)?$"}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
QUANTITIES = {"type": "object", "additionalProperties": QUANTITY}
CONTAINER = fields(
    "name image",
    name=NAME,
    image=TEXT,
    workingDir=TEXT,
    env=listed(fields("name value", name=TEXT, value={"type": "string"})),
    envFrom=listed(fields("secretRef", secretRef=fields("name", name=NAME))),
    resources=fields("", requests=QUANTITIES, limits=QUANTITIES),
    volumeMounts=listed(fields("name mountPath", name=NAME, mountPath=TEXT)),
)
CLAIM = fields("claimName", claimName=NAME)
POD = fields(
    "containers",
    containers=listed(CONTAINER),
    volumes=listed(fields("name persistentVolumeClaim", name=NAME, persistentVolumeClaim=CLAIM)),
)
TEMPLATE = fields("spec", spec=POD)
WORKERS = fields(
    "groupName minReplicas maxReplicas rayStartParams template",
    groupName=NAME,
    replicas=COUNT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    rayStartParams=TEXTS,
    template=TEMPLATE,
)
CLUSTER = fields(
    "headGroupSpec",
    rayVersion=TEXT,
    authOptions=fields("mode", mode={"enum": ["disabled", "token"]}),
    headGroupSpec=fields("rayStartParams template", rayStartParams=TEXTS, template=TEMPLATE),
    workerGroupSpecs=listed(WORKERS),
)
JOB = fields(
    "entrypoint rayClusterSpec",
    entrypoint=TEXT,
    shutdownAfterJobFinishes={"type": "boolean"},
    rayClusterSpec=CLUSTER,
)
SCHEMA = fields(
    "apiVersion kind metadata spec",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=fields("name", name={**NAME, "maxLength": 47}),
    spec=JOB,
)


def printed(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert main(["kubernetes", SWEEP, *options]) == 0
    return yaml.safe_load(capsys.readouterr().out)


@pytest.mark.parametrize(
    "options",
    [
        OPTIONS,
        [*OPTIONS, "--workers", "3", "--gpus-per-worker", "2", "--secret", "keys"],
        ["--image", "normscope", "--storage", "/results", "--claim", "shared-disk"],
    ],
)
def test_the_manifest_fits_the_schema(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    jsonschema.validate(printed(capsys, *options), SCHEMA)


def test_the_schema_finds_a_misspelt_field_and_a_wrong_type(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for edit in (
        lambda job: job["spec"].update(entryPoint="python"),
        lambda job: job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0].update(replicas="1"),
        lambda job: job["spec"]["rayClusterSpec"]["headGroupSpec"].pop("rayStartParams"),
    ):
        job = printed(capsys, *OPTIONS)
        edit(job)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(job, SCHEMA)


def test_workers_have_what_was_asked_for_and_the_head_runs_no_cell(
    capsys: pytest.CaptureFixture[str],
) -> None:
    wanted = ["--workers", "3", "--gpus-per-worker", "2", "--set", "seeds=[1, 2]"]
    job = printed(capsys, *OPTIONS, *wanted)["spec"]
    cluster = job["rayClusterSpec"]
    (workers,) = cluster["workerGroupSpecs"]
    assert workers["minReplicas"] == workers["maxReplicas"] == 3
    limits = workers["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits["nvidia.com/gpu"] == "2"
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert cluster["rayVersion"] in (ROOT / "requirements.lock").read_text()
    assert job["entrypoint"] == (
        "python -m pipeline.sweep /normscope/sweeps/quickstart.yaml --set 'seeds=[1, 2]' "
        "--storage s3://bucket/results --tracking none"
    )


def test_the_job_runs_the_profile_that_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["kubernetes", str(ROOT / "sweeps/normalizers.yaml"), *OPTIONS]
    assert main([*words, "--profile", "cpu"]) == 0
    entrypoint = yaml.safe_load(capsys.readouterr().out)["spec"]["entrypoint"]
    assert "/normscope/sweeps/normalizers.yaml --profile cpu --storage " in entrypoint


@pytest.mark.parametrize("name", ["x_", "a" * 60, "a" * 36 + "_b"])
def test_a_job_s_name_is_one_of_kubernetes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    made = printed(capsys, *OPTIONS, "--set", f"name={name}")["metadata"]["name"]
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,45}[a-z0-9])?", made)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([SWEEP, "--image", "i", "--storage", "/data"], "give a URI as s3://bucket/folder, or"),
        ([SWEEP, "--image", "i", "--storage", "data", "--claim", "c"], "must be a path from / on"),
        ([SWEEP, *OPTIONS, "--claim", "c"], "needs no volume"),
        ([SWEEP, "--image", "i", "--storage", "memory://x"], "ends with the pods"),
        ([SWEEP, *OPTIONS, "--tracking", "sqlite:///x.db"], "ends with it; give the http://"),
        ([SWEEP, *OPTIONS, "--memory-per-worker", "banana"], "no quantity; write 16Gi"),
        ([SWEEP, *OPTIONS, "--image", "r/n: 1"], "no image's name"),
        (["/tmp/elsewhere.yaml", *OPTIONS], "no such file"),
    ],
)
def test_what_would_lose_results_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["kubernetes", *words]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert re.search(message, output.err)


def test_a_sweep_file_that_the_image_does_not_hold_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(Path(SWEEP).read_text())
    assert main(["kubernetes", str(file), *OPTIONS]) == 2
    assert "is not in the checkout, which the image holds" in capsys.readouterr().err
