"""How labels name settings: those that vary, as ``name=value``; parts with their options."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.catalog import parts
from pipeline.spec.optimizer import IN_TRAINING, optimizer_name

_BESIDE = sorted({option for options in IN_TRAINING.values() for option in options})
"""Options of optimizers that stand in ``training``."""


def varying(all_settings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of the settings that differ, or that some have and others have not, sorted."""
    seen: dict[str, set[str]] = {}
    times: dict[str, int] = {}
    count = 0
    for settings in all_settings:
        count += 1
        for name, value in settings.items():
            seen.setdefault(name, set()).add(repr(value))
            times[name] = times.get(name, 0) + 1
    return sorted(name for name in seen if len(seen[name]) > 1 or times[name] < count)


def varying_training(trainings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of the training settings that differ, sorted; ``lr`` has a label of its own.

    An option of an optimizer that stands in ``training`` is named if it differs among the trainings
    whose optimizer reads it, or among the others.
    """
    every = list(trainings)
    apart = {"lr"}
    for option in _BESIDE:
        having = [training for training in every if option in training]
        groups = [[t for t in having if _reads(t, option) is read] for read in (True, False)]
        if not any(varying({option: t[option]} for t in group) for group in groups):
            apart.add(option)
    return [name for name in varying(every) if name not in apart]


def training_label(training: Mapping[str, Any], names: Iterable[str]) -> str:
    """Some settings of a training as ``name=value, name=value``.

    Beside an optimizer stand its options that are not as by default. An option that it does not
    read is left out, unless a sweep varies it.

    Args:
        training: of a cell.
        names: of settings to name, as `varying_training` gives them.
    """
    shown = set(names)
    for option in _BESIDE:
        plain = option not in training or written(training[option]) == _default(option)
        if plain and not _reads(training, option):
            shown.discard(option)
        elif not plain and _reads(training, option) and "optimizer" in shown:
            shown.add(option)
    return _label(training, sorted(shown))


def _default(option: str) -> str:
    """What an option that stands in ``training`` is by default, as a label has it."""
    owner = next(name for name, options in IN_TRAINING.items() if option in options)
    return written(parts("optimizers")[owner].options[option].default)


def _reads(training: Mapping[str, Any], option: str) -> bool:
    return option in IN_TRAINING.get(optimizer_name(training) or "", ())


def _label(settings: Mapping[str, Any], names: Iterable[str]) -> str:
    """Some settings as ``name=value, name=value``; what is not set is left out."""
    return ", ".join(f"{name}={_written(settings[name])}" for name in names if name in settings)


def part_label(kind: str, config: Mapping[str, Any], shown: Mapping[str, Any] | None = None) -> str:
    """A part's name, and in parentheses the options that are not as by default.

    Args:
        kind: of the part.
        config: its name and options.
        shown: what stands for the values of some options.
    """
    part = parts(kind).get(config["name"])  # a store may know one that is gone
    options, values = part.options if part else {}, {**config, **(shown or {})}
    own = [
        name
        for name, option in options.items()
        if name in config and (option.required or config[name] != option.default)
    ]
    own += [name for name in config if name != "name" and name not in options]
    written_options = ", ".join(f"{name}={written(values[name])}" for name in own)
    return f"{config['name']}({written_options})" if own else config["name"]


def optimizer_label(config: Any) -> str:
    """What labels call an optimizer, as a cell's training has it."""
    return part_label("optimizers", config) if isinstance(config, Mapping) else str(config)


def _written(value: Any) -> str:
    """A setting's value; the one that is a part is the optimizer."""
    return optimizer_label(value) if isinstance(value, Mapping) else written(value)


def written(value: Any) -> str:
    """A value as a label has it: a word as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
