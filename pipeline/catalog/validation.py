"""Pydantic models of settings, and a check that names every mistake in plain words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from pipeline.catalog.option_types import AtLeastOne
from pipeline.cli import SpecError, did_you_mean, joined, quoted

Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """Settings that take no unknown key, no other type (but an integer for a float) and no NaN."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )


class Open(Strict):
    """Settings that also take any other key, for a part that hands options on."""

    model_config = ConfigDict(extra="allow")


class Cadence(Strict):
    """When a probe measures: at every step t (the update t → t+1) that any of the keys names."""

    every: AtLeastOne | None = None
    """Every so many steps, from step 0 on."""
    at: list[int] = []
    """At these steps; negative ones count from the end, -1 being the last."""
    log: AtLeastOne | None = None
    """At so many steps, spaced logarithmically from the first to the last."""

    @field_validator("at")
    @classmethod
    def _sorted(cls, steps: list[int]) -> list[int]:
        return sorted(set(steps))

    @model_validator(mode="after")
    def _given(self) -> Cadence:
        if self.every is None and self.log is None and not self.at:
            raise ValueError("does not say when to measure; give every, at or log, e.g. every: 50")
        return self


class ProbeSettings(Cadence):
    """What every probe may be told beside its own options."""

    mode: Literal["train", "eval"] = "train"
    """The function it sees: with batch statistics and noise, or that of evaluations."""
    batch: Literal["step", "probe"] = "step"
    """What the loss and its derivatives are of: the step's own batch, or the fixed probe batch."""
    batch_size: AtLeastOne | None = None
    """Samples of the probe batch; null: 128, or all training samples if they are fewer."""


_MESSAGES = {
    "bool_type": "must be true or false",
    "int_type": "must be an integer",
    "float_type": "must be a number",
    "string_type": "must be a string",
    "list_type": "must be a list",
    "is_instance_of": "must be a list",
    "sequence_str": "must be a list",
    "dict_type": "must be a mapping of settings",
    "model_type": "must be a mapping of settings",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    "string_pattern_mismatch": "must be lower-case letters, digits, - and _",
}


def validate(model: type[Model], settings: Mapping[str, Any], where: str) -> Model:
    """Check settings found at the key path ``where``.

    Raises:
        SpecError: that names every wrong key, what is wrong, and what would be right.
    """
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        errors = _explained(error.errors(include_url=False))
        found = {_key(where, e["loc"]): _problem(model, e) for e in reversed(errors)}
        raise joined(SpecError(problem, key) for key, problem in reversed(found.items())) from None


def _explained(errors: list[Any]) -> list[Any]:
    """The errors without missing keys that a misspelt one beside them explains; those first."""
    misspelt = {e["loc"][:-1] for e in errors if e["type"] == "extra_forbidden"}
    left = [e for e in errors if e["type"] != "missing" or e["loc"][:-1] not in misspelt]
    return sorted(left, key=lambda e: e["type"] != "extra_forbidden")


def _key(where: str, location: tuple[int | str, ...]) -> str:
    for step in location:
        if isinstance(step, int):
            where += f"[{step}]"
        else:
            where += f".{step}" if where else step
    return where


def _problem(model: type[BaseModel], error: Any) -> str:
    """Say in plain words what pydantic found."""
    kind, given = error["type"], error["input"]
    if kind == "extra_forbidden":
        title, known = _owner(model, error["loc"])
        name = str(error["loc"][-1])
        return f"{title} has no option {quoted(name)}; {did_you_mean(name, known)}"
    if kind == "missing":
        return "is missing; it has no default, so give it a value"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    message = str(error["msg"]).replace("Input should be", "must be")
    if kind in _MESSAGES:
        message = _MESSAGES[kind].format(**error.get("ctx", {}))
    hint = ""
    if kind == "literal_error" and isinstance(given, str):
        hint = "; " + did_you_mean(given, re.findall(r"'([^']*)'", error["ctx"]["expected"]))
    return f"{message}, not {quoted(given)}{hint}"


def _owner(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[str, list[str]]:
    """Find the (nested) model whose key is unknown."""
    for step in location[:-1]:
        model = cast(type[BaseModel], model.model_fields[str(step)].annotation)
    return model.model_config.get("title") or model.__name__, list(model.model_fields)
