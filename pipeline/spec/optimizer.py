"""The optimizer of a resolved cell: a part that stands in ``training``, some options beside it.

    training: {optimizer: adamw, betas: [0.9, 0.95]}
    training: {optimizer: {name: lion, betas: [0.9, 0.99], clip: 1.0}}

sgd's momentum and Adam's betas are settings of ``training``: they are older than optimizers that
are parts. Importing this costs no pydantic; `pipeline.spec.training` checks what a file gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.catalog import parts

IN_TRAINING = {"sgd": ("momentum",), "adam": ("betas",), "adamw": ("betas",)}
"""By optimizer: its options that are settings of ``training``."""


def optimizer_of(training: Mapping[str, Any]) -> dict[str, Any]:
    """The name and all options of a resolved training's optimizer."""
    config = training["optimizer"]
    if isinstance(config, str):
        known = parts("optimizers")[config].options
        config = {"name": config, **{name: option.default for name, option in known.items()}}
    beside = {key: training[key] for key in IN_TRAINING.get(config["name"], ())}
    return {**config, **beside}


def optimizer_name(training: Mapping[str, Any]) -> str | None:
    """The optimizer's name; None where the settings have none."""
    config = training.get("optimizer")
    return config["name"] if isinstance(config, Mapping) else config
