"""What may stand in a sweep file, with defaults and bounds: the settings that are no part's own.

The parts (data, architectures, normalizers, optimizers, probes) declare their options beside their
code; `pipeline.catalog` reads them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from pipeline.catalog import registry as catalog
from pipeline.catalog.option_types import AtLeastOne, Betas, Decay, Fraction
from pipeline.catalog.validation import Strict
from pipeline.cli import SpecError, quoted

MAX_SEEDS = 100_000

Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Training(Strict, title="training"):
    """How a network is trained."""

    steps: AtLeastOne = 400
    """Updates of the parameters."""
    batch_size: AtLeastOne | None = 128
    """Samples in a step's batch; null: the whole training split (full-batch gradient descent)."""
    optimizer: Any = "sgd"
    """The optimizer: a name of `pipeline.optimizers`, or its name and options."""
    lr: Annotated[float, Field(gt=0)] = 0.1
    """Learning rate, before warmup and schedule."""
    momentum: Decay = 0.0
    """Momentum of sgd; 0: none, as the paper seems to have it. Other optimizers have their own."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """L2 penalty of sgd and adam, decoupled decay of the others."""
    betas: Betas = [0.9, 0.999]
    """Decay rates of the first and the second moment in adam and adamw."""
    schedule: Literal["constant", "cosine", "step"] = "constant"
    """Factor on the rate from step 0 on: 1, half a cosine from 1 to 0, or decay per milestone."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps over which the learning rate first rises linearly to lr."""
    milestones: list[Fraction] = [0.5, 0.75]
    """Fractions of the steps at which the step schedule multiplies the rate by decay."""
    decay: Fraction = 0.1
    """Factor of the step schedule at each milestone."""
    init: Literal["glorot", "he"] = "glorot"
    """Initial weights: variance 2/(fan_in + fan_out), or 2/fan_in."""
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """Arithmetic of the training step; tf32 needs a GPU. Probes and evaluations use float32."""
    augment: list[Literal["crop", "flip"]] = []
    """Random changes of training images: a crop after padding, a horizontal flip."""
    evaluate_every: AtLeastOne = 50
    """Steps between evaluations on the validation and the test split."""
    evaluate_samples: AtLeastOne | None = None
    """Samples of each split in evaluations before the last one, which takes all; null: all."""
    divergence_factor: Annotated[float, Field(gt=1)] = 100.0
    """A cell is diverged once its loss exceeds this multiple of the initial loss."""

    @field_validator("milestones")
    @classmethod
    def _increasing(cls, values: list[float]) -> list[float]:
        if values != sorted(set(values)):
            raise ValueError(f"must increase, not {quoted(values)}")
        return values


class ResourceSettings(Strict, title="resources"):
    """What one trial may occupy, and for how long; it does not enter the cell id."""

    cpus: AtLeastOne = 1
    """Cores, each with a thread. On CPUs a cell's numbers depend on how many."""
    gpus: Any = None
    """GPUs, or a share of one, for all or by architecture; null: a whole one if there is any."""
    time_limit: Annotated[float, Field(gt=0)] | None = None
    """Seconds after which a cell ends with what it has (status time_limit); null: none."""
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 10.0
    """Minutes between two checkpoints of a cell: what a lost worker costs at most."""
    cuda_graph: bool = True
    """Take each training step as one CUDA graph, with the same bits (GPUs only)."""

    @field_validator("gpus")
    @classmethod
    def _shares(cls, gpus: object) -> object:
        if not isinstance(gpus, dict):
            return None if gpus is None else _share(gpus)
        for name in gpus:
            try:
                catalog.find("architectures", name, "")
            except SpecError as error:
                raise ValueError(error.problem) from None
        return {name: _share(each) for name, each in gpus.items()}


def _share(gpus: object) -> float:
    if isinstance(gpus, bool) or not isinstance(gpus, int | float) or not _is_share(gpus):
        right = "above 0 and at most 8, a whole one above 1, for all cells or by architecture"
        raise ValueError(f"must be a number of GPUs {right}, not {quoted(gpus)}")
    return float(gpus)


def _is_share(gpus: float) -> bool:
    """Whether Ray can give it: a share of a card in units of 1e-4, or whole cards."""
    return 1e-4 <= gpus <= 8 and (gpus <= 1 or gpus == int(gpus))


class Base(Strict, title="base"):
    """One cell's settings; what the grid varies may be left out."""

    data: Any = None
    architecture: Any = None
    normalizer: Any = None
    training: dict[str, Any] = {}


class SweepFile(Strict, title="a sweep file"):
    """The top level of a sweep file; `pipeline.spec.expand` resolves what is below it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)]
    """The sweep's name in the store and in the report."""
    description: str = ""
    """What it is for, in one line."""
    parts: Any = []
    """Folders of parts of one's own: a list of paths from this file on, or prefix: path."""
    base: Base
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] = {}
    """Dotted keys below base (or ``probes.``...), each with the values that it takes."""
    exclude: list[Annotated[dict[str, Any], Field(min_length=1)]] = []
    """Rules: a cell of the grid is left out if it matches every key of one."""
    include: list[dict[str, Any]] = []
    """Extra cells: base with these dotted keys."""
    seeds: Annotated[list[Seed], Field(min_length=1)] = [0]
    """Seeds of every cell: their number (3: 0, 1, 2) or a list of them."""
    probes: dict[str, Any] = {}
    """Probes by name, each with its cadence and its own options."""
    resources: ResourceSettings = ResourceSettings()
    profiles: dict[str, dict[str, Any]] = {}
    """Other values under a name, by the keys of --set; --profile chooses one."""

    @field_validator("description")
    @classmethod
    def _one_line(cls, text: str) -> str:
        return " ".join(text.split())

    @field_validator("seeds", mode="before")
    @classmethod
    def _listed(cls, seeds: object) -> object:
        if isinstance(seeds, list):
            return seeds
        if type(seeds) is not int or not 1 <= seeds <= MAX_SEEDS:
            right = f"a number of seeds from 1 to {MAX_SEEDS}, or a list of seeds"
            raise ValueError(f"must be {right}, not {quoted(seeds)}")
        return list(range(seeds))


SECTIONS = (*Base.model_fields, "probes")
"""What a cell is made of, the seed apart: the first words of dotted keys."""
DOTTED = (*SECTIONS, *(f"training.{name}" for name in Training.model_fields))
"""Dotted keys that every sweep knows."""
