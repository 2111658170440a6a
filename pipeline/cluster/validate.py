"""What is wrong with a `ray up` file, found without a network, beyond what Ray's own schema says.

Ray's schema passes a misspelt option of the provider or of a node, and Ray fills in what is
missing by defaults of its own: nightly builds, a dashboard open to the world, an old image. Here
each of these is a problem, and so is what would lose results or open a port.

Every user edits the file (region, machines, another cloud, own machines), so the checks run on
their file, before it costs money. Tests of the shipped file alone would find none of their errors.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.cli import SpecError, did_you_mean, quoted
from pipeline.spec import read_yaml

File = Mapping[str, Any]

LISTS = (
    *("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands"),
    *("head_start_ray_commands", "worker_start_ray_commands"),
    *("cluster_synced_files", "rsync_exclude", "rsync_filter"),
)
_PROVIDERS = {
    "aws": {
        *("type", "region", "availability_zone", "cache_stopped_nodes", "security_group"),
        *("use_internal_ips", "key_pair", "aws_credentials", "cloudwatch"),
        *("disable_node_updaters", "disable_launch_config_check", "foreground_node_launch"),
    },
    "local": {"type", "head_ip", "worker_ips", "external_head_ip", "coordinator_address"},
}
_PIN = re.compile(r"(?<![\w./-])(ray|mlflow|torch)(?:\[[\w,]*\])?\s*==\s*([\w.]+)")
_RAY_ELSEWHERE = re.compile(r"(\S*ray-[\w.]+-cp3\S*\.whl|rayproject/ray\S*)")
_HOST = re.compile(r"--(?:dashboard-)?host[= ]+(\"[^\"]*\"|'[^']*'|\S+)")
_SECRET = re.compile(r"AKIA[0-9A-Z]{16}|\w+://[^\s:/@\"']+:[^\s@\"'$]+@")
_HEAD = ("setup_commands", "head_setup_commands", "head_start_ray_commands")
_WORKER = ("setup_commands", "worker_setup_commands", "worker_start_ray_commands")


Check = Callable[[File], Iterable[SpecError]]


def problems(path: str | Path, lock: str | Path, schema: Check) -> list[SpecError]:
    """Everything wrong with a cluster file, in the order of its lines; none: an empty list.

    Args:
        path: the cluster file.
        lock: ``requirements.lock``, whose versions the cluster's have to be.
        schema: Ray's own check, without which the file has no shape to look at.
    """
    try:
        data, lines = read_yaml(path)
    except SpecError as error:
        return [error]
    if not isinstance(data, dict):
        return [SpecError("is no mapping; write the keys of a `ray up` file", place=str(path))]
    places = {key: f"{path}:{line}" for key, line in lines.items()} | {"": str(path)}
    found = list(schema(data))
    if not found:
        found = [e for check in _CHECKS for e in check(data)] + [*_versions(data, locked(lock))]
    return sorted((e.with_location(places) for e in found), key=_line)


def locked(lock: str | Path) -> dict[str, str]:
    """The version of every package in a lock."""
    text = Path(lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE))


def commands(data: File, lists: tuple[str, ...] = LISTS) -> Iterator[tuple[str, str]]:
    """Every command with its key path."""
    for name in lists:
        for number, command in enumerate(data.get(name) or []):
            yield f"{name}[{number}]", str(command)


def _line(error: SpecError) -> int:
    last = error.place.rpartition(":")[2]
    return int(last) if last.isdigit() else 0


def _given_lists(data: File) -> Iterator[SpecError]:
    for name in LISTS:
        if not isinstance(data.get(name), list):
            yield SpecError("missing, and Ray would fill in its own; write [] for none", name)


def _provider_options(data: File) -> Iterator[SpecError]:
    provider = data.get("provider") or {}
    known = _PROVIDERS.get(str(provider.get("type")), set(provider))
    for key in provider.keys() - known:
        yield SpecError(f"no such option; {did_you_mean(key, known)}", f"provider.{key}")


def _machines(data: File) -> Iterator[SpecError]:
    if (data.get("provider") or {}).get("type") != "aws":
        return
    from pipeline.cluster.aws import machine_problems

    for name, node_type in _node_types(data):
        config, key = node_type.get("node_config") or {}, f"available_node_types.{name}.node_config"
        yield from machine_problems(config, key)
        market = (config.get("InstanceMarketOptions") or {}).get("MarketType")
        if name == data.get("head_node_type") and market == "spot":
            problem = "the head must outlive the sweep; leave the market out for the head"
            yield SpecError(problem, f"{key}.InstanceMarketOptions")


def _open_ports(data: File) -> Iterator[SpecError]:
    group = (data.get("provider") or {}).get("security_group") or {}
    for number, rule in enumerate(group.get("IpPermissions") or []):
        ranges = [r.get("CidrIp") or r.get("CidrIpv6") for r in _ranges(rule)]
        ssh = rule.get("FromPort") == rule.get("ToPort") == 22
        if not ssh and any(str(each).endswith("/0") for each in ranges):
            problem = "opens ports to the world; open 22 alone and reach the rest through SSH"
            yield SpecError(problem, f"provider.security_group.IpPermissions[{number}]")


def _ranges(rule: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*(rule.get("IpRanges") or []), *(rule.get("Ipv6Ranges") or [])]


def _listeners(data: File) -> Iterator[SpecError]:
    for key, command in commands(data):
        for host in _HOST.findall(command):
            if not _is_private(host.strip("\"'")):
                problem = f"listens on {host}; give 127.0.0.1 or the machine's private address"
                yield SpecError(problem, key)


def _is_private(host: str) -> bool:
    if host == "localhost" or host.startswith("$"):  # worked out on the machine itself
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_private and not address.is_unspecified


def _authentication(data: File) -> Iterator[SpecError]:
    for lists in (_HEAD, _WORKER):
        if not any("RAY_AUTH_MODE=token" in command for _, command in commands(data, lists)):
            yield SpecError("Ray starts without RAY_AUTH_MODE=token; set it", lists[-1])
    mounts = data.get("file_mounts") or {}
    if not any(remote.endswith(".ray/auth_token") for remote in mounts):
        problem = "no token; mount ~/.ray/auth_token, which `ray get-auth-token --generate` makes"
        yield SpecError(problem, "file_mounts")


def _environment(data: File) -> Iterator[SpecError]:
    if not any(".venv/ready" in command for _, command in commands(data, ("setup_commands",))):
        problem = "no machine gets the locked environment; run `make .venv/ready` in the checkout"
        yield SpecError(problem, "setup_commands")


def _versions(data: File, versions: Mapping[str, str]) -> Iterator[SpecError]:
    written = [*commands(data), *_images(data)]
    for key, text in written:
        for package, version in _PIN.findall(text):
            if version != versions.get(package):
                problem = f"{package} {version}; requirements.lock has {versions.get(package)}"
                yield SpecError(problem, key)
        for found in _RAY_ELSEWHERE.findall(text):
            if f":{versions['ray']}" not in found and f"ray-{versions['ray']}-" not in found:
                yield SpecError(
                    f"{quoted(found)}; requirements.lock has ray {versions['ray']}", key
                )


def _images(data: File) -> Iterator[tuple[str, str]]:
    for key, value in (data.get("docker") or {}).items():
        yield f"docker.{key}", str(value)


def _lasting(data: File) -> Iterator[SpecError]:
    """`ray down` deletes the head's disk: what must stay has to be elsewhere."""
    on_head = list(commands(data, _HEAD))
    own_machines = (data.get("provider") or {}).get("type") == "local"
    yield from _lasting_place(on_head, "NORMSCOPE_STORAGE", own_machines)
    if not any(re.search(r"\bmlflow server", command) for _, command in on_head):
        return
    yield from _lasting_place(on_head, "MLFLOW_ARTIFACTS_DESTINATION", own_machines)
    stores = [(key, text) for key, text in on_head if "MLFLOW_BACKEND_STORE_URI=" in text]
    if not stores:
        problem = "MLflow's database would be a file on the head; give MLFLOW_BACKEND_STORE_URI"
        yield SpecError(problem, "head_start_ray_commands")
    for key, text in stores:
        if not own_machines and "MLFLOW_BACKEND_STORE_URI=sqlite" in text:
            yield SpecError("SQLite is a file on the head; use a database server", key)


def _lasting_place(
    on_head: list[tuple[str, str]], name: str, own_machines: bool
) -> Iterator[SpecError]:
    found = [(key, value) for key, text in on_head for value in _assigned(name, text)]
    if not found:
        yield SpecError(f"{name} is not set: results would be on the head's disk", _HEAD[1])
    for key, value in found:
        shared = own_machines and value.startswith(("/", "$", "~"))
        if not shared and ("://" not in value or value.startswith("file:")):
            problem = (
                f"{name} is {quoted(value)}, on the head's disk; give a URI as s3://bucket/name"
            )
            yield SpecError(problem, key)


def _assigned(name: str, text: str) -> list[str]:
    return [value.strip("\"'") for value in re.findall(rf"\b{name}=(\"[^\"]*\"|\S+)", text)]


def _growth(data: File) -> Iterator[SpecError]:
    """A sweep has to know of workers that are yet to be started."""
    if any("resources" in node_type for _, node_type in _node_types(data)) and not any(
        "NORMSCOPE_CLUSTER=" in command for _, command in commands(data, _HEAD)
    ):
        problem = "NORMSCOPE_CLUSTER is not set: a sweep would see the head alone; name the file ~"
        yield SpecError(f"{problem}/ray_bootstrap_config.yaml", "head_setup_commands")


def _secrets(data: File) -> Iterator[SpecError]:
    for key, command in commands(data):
        if _SECRET.search(command):
            yield SpecError("holds a secret; read it from a secret store on the machine", key)


def _node_types(data: File) -> list[tuple[str, Mapping[str, Any]]]:
    types = data.get("available_node_types") or {}
    return [(name, node_type) for name, node_type in types.items() if isinstance(node_type, dict)]


_CHECKS: tuple[Check, ...] = (
    *(_given_lists, _provider_options, _machines, _open_ports, _listeners),
    *(_authentication, _environment, _lasting, _growth, _secrets),
)
