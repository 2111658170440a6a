"""The training's settings as a sweep file gives them, checked, its optimizer among them.

sgd's momentum and Adam's betas may also stand among the optimizer's options, and mean the same
there. What the older form can say is written in the older form: one cell has one id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.catalog import parts, resolve
from pipeline.catalog.validation import validate
from pipeline.cli import Mistakes, SpecError, quoted
from pipeline.spec.optimizer import IN_TRAINING
from pipeline.spec.schema import Training

_SHARED = ("momentum", "betas")


def resolve_training(config: Any, where: str, *, partial: bool = False) -> dict[str, Any]:
    """Check the training's settings and fill in their defaults, those of its optimizer too.

    Args:
        config: a mapping of settings.
        where: its key path, for errors.
        partial: return only what is given: a pattern of trainings. A pattern's ``optimizer`` is
            always a mapping, and has all options of the optimizer that are given.

    Raises:
        SpecError: with a line for every mistake.
    """
    mistakes, found, optimizer = Mistakes(), {}, {}
    with mistakes.collected():
        found = validate(Training, config, where).model_dump(exclude_unset=partial)
    given = config.get("optimizer", "sgd") if isinstance(config, Mapping) else "sgd"
    with mistakes.collected():
        optimizer = resolve("optimizers", given, f"{where}.optimizer", partial=partial)
    mistakes.report()
    if partial:
        return {**found, "optimizer": optimizer} if "optimizer" in config else found
    return _joined(found, optimizer, config, where)


def _joined(
    training: dict[str, Any], optimizer: dict[str, Any], config: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """The settings with the optimizer in them, in the one form that they have."""
    name, given = optimizer["name"], config.get("optimizer")
    beside = IN_TRAINING.get(name, ())
    for key in beside:
        if isinstance(given, Mapping) and key in given:
            _refuse_two_values(config, key, optimizer[key], where)
            training[key] = optimizer[key]
        del optimizer[key]
    if name == "sgd":
        _refuse_nesterov_alone(training, optimizer, where)
    if not beside:
        _refuse_unused(config, name, where)
        training = {key: value for key, value in training.items() if key not in _SHARED}
    known = parts("optimizers")[name].options
    plain = all(known[key].default == value for key, value in optimizer.items() if key != "name")
    return {**training, "optimizer": name if beside and plain else optimizer}


def _refuse_two_values(config: Mapping[str, Any], key: str, value: Any, where: str) -> None:
    if key in config and config[key] != value:
        problem = f"training.{key} is {quoted(config[key])} and this is {quoted(value)}"
        raise SpecError(f"{problem}; give one of them", f"{where}.optimizer.{key}")


def _refuse_unused(config: Mapping[str, Any], name: str, where: str) -> None:
    """Settings of other optimizers, which nothing would read."""
    for key in _SHARED:
        if key in config:
            owner = next(each for each, keys in IN_TRAINING.items() if key in keys)
            right = f"{{name: {owner}, {key}: ...}}"
            problem = f"{name} does not read training.{key}; give it to {owner} alone: {right}"
            raise SpecError(problem, f"{where}.{key}")


def _refuse_nesterov_alone(
    training: Mapping[str, Any], optimizer: Mapping[str, Any], where: str
) -> None:
    if optimizer["nesterov"] and not training["momentum"]:
        problem = "needs a momentum above 0, e.g. momentum: 0.9"
        raise SpecError(problem, f"{where}.optimizer.nesterov")
