"""Machines of AWS: a ``node_config`` held against the API that it is handed to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pipeline.cli import SpecError, did_you_mean, quoted

_RAYS_OWN = {"SubnetIds"}
"""Keys that Ray takes itself and does not pass on."""
_TYPES = {
    **dict.fromkeys(("string", "timestamp", "blob"), str),
    **dict.fromkeys(("integer", "long"), int),
    **dict.fromkeys(("float", "double"), (int, float)),
    "boolean": bool,
    "list": list,
}


def machine_problems(config: Mapping[str, Any], key: str) -> Iterator[SpecError]:
    """What EC2's RunInstances would refuse of a node's options, and an image that is missing.

    The API's description comes with botocore; nothing is asked over the network.
    """
    own = {name: value for name, value in config.items() if name not in _RAYS_OWN}
    yield from _compared(own, _run_instances(), key)
    for name, why in (
        ("InstanceType", "which machine is not said; give one, as g5.2xlarge"),
        ("ImageId", "missing, and Ray would take Ubuntu 18.04; give an image"),
    ):
        if name not in config:
            yield SpecError(why, f"{key}.{name}")


def _compared(value: Any, shape: Any, key: str) -> Iterator[SpecError]:
    if shape.type_name == "structure":
        if not isinstance(value, Mapping):
            yield SpecError(f"is {quoted(value)}; give a mapping", key)
            return
        for name, inner in value.items():
            if name in shape.members:
                yield from _compared(inner, shape.members[name], f"{key}.{name}")
            else:
                problem = f"no such option; {did_you_mean(name, shape.members)}"
                yield SpecError(problem, f"{key}.{name}")
    elif not _is_of(value, shape.type_name):
        yield SpecError(f"is {quoted(value)}; give a value of type {shape.type_name}", key)
    elif shape.type_name == "list":
        for number, inner in enumerate(value):
            yield from _compared(inner, shape.member, f"{key}[{number}]")
    elif getattr(shape, "enum", None) and not _is_choice(value, shape):
        yield SpecError(f"is {quoted(value)}; {did_you_mean(value, shape.enum)}", key)


def _is_of(value: Any, type_name: str) -> bool:
    wanted = _TYPES.get(type_name, object)
    return isinstance(value, wanted) and not (type_name != "boolean" and isinstance(value, bool))


def _is_choice(value: str, shape: Any) -> bool:
    # AWS has new machines every month, which an older botocore does not list.
    return value in shape.enum or shape.name == "InstanceType"


@cache
def _run_instances() -> Any:
    import botocore.session

    ec2 = botocore.session.get_session().get_service_model("ec2")
    return ec2.operation_model("RunInstances").input_shape
