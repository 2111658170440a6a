"""A RayJob for Kubernetes with the KubeRay operator: one sweep, on a Ray cluster of its own.

The image is the one that ``docker build`` makes of this checkout: it holds the code, the sweep
files and the environment of ``requirements.lock``. Fields and their types are those of KubeRay's
API ``ray.io/v1`` (ray-operator/apis/ray/v1/{rayjob,raycluster}_types.go). An operator that does not
have ``authOptions`` yet drops it, and Ray then starts without a token.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WORKDIR = "/normscope"
"""Where the image holds the checkout; see ``Dockerfile``."""
_QUANTITY = re.compile(r"[1-9]\d*(\.\d+)?([kMGTPE]|[KMGTPE]i)?")
_IMAGE = re.compile(r"[\w./:@-]+")
_LONGEST = 47
"""Characters of a RayJob's name: KubeRay adds others to it for the names of services and pods."""
_ENVIRONMENT = {
    # Trials guard memory themselves; Ray's own guard would end the sweep.
    "RAY_memory_monitor_refresh_ms": "0",
    "PYTHONPATH": WORKDIR,
}
_HEADER = """\
# kubectl apply -f FILE, for the KubeRay operator. Make the image of this checkout's commit first:
#   docker build -t {image} . && docker push {image}
# The image holds the code, the sweep file and the environment of requirements.lock (Ray {ray}).
# If the job ends early, delete it and apply this file again: finished cells do not run again.
"""


@dataclass(frozen=True)
class Request:
    """What to ask Kubernetes for, and what to run."""

    name: str
    """The sweep's."""
    command: Sequence[str]
    """The sweep file, as a path in the image, and options."""
    storage: str
    image: str
    ray_version: str
    workers: int = 1
    cpus: int = 4
    gpus: int = 0
    memory: str = "16Gi"
    """Of each worker."""
    tracking: str = "none"
    claim: str | None = None
    """A persistent volume claim, mounted at the storage on all pods."""
    secret: str | None = None
    """A secret whose keys become environment variables, as an object store's credentials."""


def check_request(request: Request) -> None:
    """Refuse what would lose the results.

    Raises:
        ValueError: with what is wrong and what would be right.
    """
    remote = "://" in request.storage
    if not remote and request.claim is None:
        raise ValueError(
            f"--storage {request.storage}: is a folder of a pod and ends with it; give a URI as "
            "s3://bucket/folder, or --claim, a volume claim that many pods can mount"
        )
    if remote and request.claim is not None:
        raise ValueError(f"--claim {request.claim}: --storage {request.storage} needs no volume")
    if not remote and not request.storage.startswith("/"):
        raise ValueError(f"--storage {request.storage}: must be a path from / on, or a URI")
    if request.storage.startswith("memory:"):
        raise ValueError(
            f"--storage {request.storage}: ends with the pods; give s3://bucket/folder"
        )
    if request.tracking != "none" and not request.tracking.startswith(("http://", "https://")):
        raise ValueError(
            f"--tracking {request.tracking}: is within a pod and ends with it; give the http:// or "
            "https:// address of a server that pods reach"
        )
    if not _QUANTITY.fullmatch(request.memory):
        raise ValueError(f"--memory-per-worker {request.memory}: no quantity; write 16Gi or 500M")
    if not _IMAGE.fullmatch(request.image):
        raise ValueError(f"--image {request.image!r}: no image's name; write registry/name:tag")


def manifest(request: Request) -> str:
    """The RayJob as YAML, with what to do with it in comments."""
    import yaml

    check_request(request)
    header = _HEADER.format(image=request.image, ray=request.ray_version)
    return header + yaml.safe_dump(rayjob(request), sort_keys=False, width=100)


def rayjob(request: Request) -> dict[str, Any]:
    """The RayJob as mappings and lists."""
    command = ["python", "-m", "pipeline.sweep", *request.command]
    options = ["--storage", request.storage, "--tracking", request.tracking]
    spec = {
        "entrypoint": shlex.join([*command, *options]),
        "shutdownAfterJobFinishes": True,
        "rayClusterSpec": {
            "rayVersion": request.ray_version,
            "authOptions": {"mode": "token"},
            "headGroupSpec": {
                "rayStartParams": {"num-cpus": "0", "num-gpus": "0"},  # no cell runs on the head
                "template": _pod(request, "ray-head", {"cpu": "2", "memory": "8Gi"}),
            },
            "workerGroupSpecs": [_workers(request)],
        },
    }
    name = f"normscope-{request.name}".replace("_", "-")[:_LONGEST].rstrip("-")
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": name},
        "spec": spec,
    }


def _workers(request: Request) -> dict[str, Any]:
    resources = {"cpu": str(request.cpus), "memory": request.memory}
    if request.gpus:
        resources["nvidia.com/gpu"] = str(request.gpus)
    return {
        "groupName": "workers",
        "replicas": request.workers,
        "minReplicas": request.workers,
        "maxReplicas": request.workers,
        "rayStartParams": {},
        "template": _pod(request, "ray-worker", resources),
    }


def _pod(request: Request, name: str, resources: dict[str, str]) -> dict[str, Any]:
    """A pod with one container. Requests equal limits: Ray counts what the container may use."""
    container: dict[str, Any] = {
        "name": name,
        "image": request.image,
        "workingDir": WORKDIR,
        "env": [{"name": name, "value": value} for name, value in _ENVIRONMENT.items()],
        "resources": {"requests": dict(resources), "limits": dict(resources)},
    }
    pod: dict[str, Any] = {"containers": [container]}
    if request.secret is not None:
        container["envFrom"] = [{"secretRef": {"name": request.secret}}]
    if request.claim is not None:
        container["volumeMounts"] = [{"name": "results", "mountPath": request.storage}]
        claim = {"claimName": request.claim}
        pod["volumes"] = [{"name": "results", "persistentVolumeClaim": claim}]
    return {"spec": pod}
