"""The loss, the gradient and every probe in float32, beside float64 at the same weights.

A network takes a few steps of SGD in float32, on images of CIFAR-10's size, in the memory format of
a trial. Its last step is then seen twice: as it was, and by a copy of the network in float64 that
holds the same weights, buffers and batches. Random draws are those of float32 in both.

The error of a column is ‖a − b‖₂ / ‖u‖₂ over its finite rows, a in float32 and b in float64. The
unit u is b, except for a difference of two nearly equal quantities, whose unit is what was
subtracted (`UNITS`): its error relative to itself would grow without bound as the step shrinks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pipeline.catalog import registry as catalog
from pipeline.data import Batch, Dataset
from pipeline.normalizers._ops.common import channelwise
from pipeline.normalizers.norm_activation import ThresholdedLinear
from pipeline.probes._vectors import Params, flat
from pipeline.probes._view import Records, View, preserve_state
from tests.helpers.training.scene import SIZE, doubled, images, scene

BATCH, STEPS = 128, 3
LR = 1e-3
"""So low that no network diverges, those without a normalizer included."""


@dataclass(frozen=True)
class Family:
    """An architecture of a family, small enough for float64, and how it is trained."""

    architecture: Mapping[str, Any]
    lr: float
    group: int
    """Channels per group of a normalizer that has groups: it divides every channel count."""


FAMILIES = {
    "resnet": Family({"name": "resnet", "depth": 20, "width": 0.5}, LR, 4),
    "vgg": Family({"name": "vgg11", "width": 0.25}, LR, 4),
    "densenet": Family({"name": "densenet", "depth": 16, "growth": 8}, LR, 4),
    "deep_linear": Family({"name": "deep_linear", "depth": 10}, 1e-9, 5),
}
SMALL = Family({"name": "resnet", "depth": 8, "width": 0.25}, LR, 2)
"""As many values per channel as the others, in a network that a test can afford."""

COMPOSED = {"weight_standardization": ("weight_standardization", "group")}
"""As its source has it: alone, signals grow until the loss overflows."""
GROUPED = ("group", "evonorm_s0", "iterative_whitening", "decorrelated_batch")
PROBES: dict[str, dict[str, Any]] = {
    "cross_layer": {},
    "curvature": {"products": 10, "tolerance": 1e-12, "trace_samples": 1},
    "descent_lemma": {},
    "distribution_ics": {},
    "gradient_ics": {},
    "landscape": {"lengths": 2, "directions": ("gradient", "random")},
    "moment_ics": {},
    "gradient_noise": {},
    "scale_invariant": {"blocks": 1, "products": 5, "tolerance": 1e-12},
    "sharpness": {"directions": 1, "steps": 2},
    "signal_propagation": {},
    "batchnorm_theorems": {},
}
"""Every probe, with options that cost less. Lanczos takes a fixed number of products."""

Unit = Callable[[Mapping[str, Any], View], Tensor]


def _one(_: Mapping[str, Any], view: View) -> Tensor:
    return view.loss_value.new_ones(())


def _column(name: str) -> Unit:
    return lambda columns, _: columns[name]


UNITS: dict[str, dict[str, Unit]] = {
    "curvature": dict.fromkeys(("lambda_max_residual", "lambda_min_residual"), _one),
    "descent_lemma": {
        "realised": lambda _, view: view.loss_value[None],
        "ratio": lambda columns, view: view.loss_value / columns["predicted"],
    },
    "distribution_ics": dict.fromkeys(
        [f"{name}{kind}" for name in ("w1", "gaussian_w2") for kind in ("", "_p90", "_floor")],
        _one,
    ),
    "gradient_ics": {
        "l2": _column("gradient_norm"),
        "relative": _one,
        "per_update": lambda columns, _: columns["per_update"] / columns["relative"],
    },
    "landscape": {
        "loss_range": _column("loss"),
        "loss_range_relative": _one,
        "gradient_difference_min": _column("gradient_norm"),
        "gradient_difference_max": _column("gradient_norm"),
        "gradient_difference_relative": _one,
        "effective_beta": lambda columns, _: columns["gradient_norm"] / columns["length_min"],
        "cosine_min": _one,
    },
    "moment_ics": {
        **dict.fromkeys(
            [
                f"{moment}_{kind}{part}"
                for moment in ("mean", "log_std")
                for kind in ("shift", "drift")
                for part in ("", "_p90")
            ],
            _one,
        ),
        **dict.fromkeys(("q05", "q25", "q50", "q75", "q95"), _column("q95")),
        **dict.fromkeys(
            ("mean_shift_per_update", "log_std_shift_per_update"),
            lambda columns, _: columns["mean_shift_per_update"] / columns["mean_shift"],
        ),
    },
    "gradient_noise": {"l2": _column("gradient_norm"), "relative": _one, "cosine": _one},
    "scale_invariant": {"block_lambda_residual": _one},
    "sharpness": {"sharpness": _column("loss")},
    "batchnorm_theorems": {
        "curvature": lambda c, _: c["scaled_curvature"].abs() + c["curvature_term"].abs(),
        "gap_41": _one,
        "gap_42": _one,
    },
}
"""By probe and column: what was subtracted to make it, of the columns in float64 and the view."""

Errors = dict[str, float]
"""By ``loss``, ``gradient`` or ``probe.column``."""


def view_of(
    family: Family,
    normalizer: str,
    *,
    kinks: bool = False,
    device: str = "cpu",
    batch: int = BATCH,
    size: int = SIZE,
) -> View:
    """The last of a few steps of a network under a normalizer, in float32.

    Args:
        family: the architecture.
        normalizer: a name of the catalog.
        kinks: keep ReLU and max pooling.
        device: where to train and measure.
        batch: its size; a naive sum's error grows with it.
        size: height and width of the images.

    Raises:
        ValueError: if the normalizer does not suit the architecture.
    """
    sizes = {"channels_per_group": family.group}
    parts = [
        {"name": name, **(sizes if name in GROUPED else {})}
        for name in COMPOSED.get(normalizer, (normalizer,))
    ]
    dataset = dataset_of(family, size).to(torch.device(device))
    made = scene(family.architecture, parts, dataset, batch, family.lr)
    if not kinks:
        smooth(made.network)
    return made.advance(STEPS)


def smooth(network: nn.Module) -> None:
    """Put GELU in the place of ReLU and SELU, average pooling in that of max pooling, and log(e^x +
    e^τ) in that of max(x, τ).

    Of 10⁷ values a few lie within rounding of a kink, and take the other branch in float64. One
    such value changes the gradient by up to 3e-3, which says nothing about the sums.
    """
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.ReLU | nn.SELU):
                setattr(parent, name, nn.GELU())
            elif isinstance(child, ThresholdedLinear):
                setattr(parent, name, _SmoothThreshold(child.threshold))
            elif isinstance(child, nn.MaxPool2d):
                setattr(parent, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding))


class _SmoothThreshold(nn.Module):
    def __init__(self, threshold: nn.Parameter) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.logaddexp(inputs, channelwise(self.threshold, inputs))


def dataset_of(family: Family, size: int = SIZE) -> Dataset:
    """Images, or the vectors of a deep linear network."""
    if family.architecture["name"] == "deep_linear":
        return catalog.make("data", {"name": "gaussian"})
    return images(512, torch.device("cpu"), size)


def errors(view: View, probes: Collection[str]) -> Errors:
    """Relative errors of the loss, of the gradient in all parameters, and of the probes."""
    drawn = view.sample_batch(len(view.batch.targets))  # once: a second draw is another
    single = _seen(replace(view, sample_batch=lambda _: drawn))
    return _differences(single, _seen(doubled(single)), probes)


def sensitivity(view: View, probes: Collection[str]) -> Errors:
    """How far numbers in float64 move if inputs and weights move by half their last bit in float32.

    No arithmetic in float32 can be expected to come much closer: it rounds all values by as much.
    θ_0, θ_t and θ_(t+1) move by the same factors, so that their differences stay.
    """
    drawn = view.sample_batch(len(view.batch.targets))
    exact = _seen(doubled(replace(view, sample_batch=lambda _: drawn)))
    generator = torch.Generator().manual_seed(0)

    def factors(like: Tensor) -> Tensor:
        signs = torch.randint(2, like.shape, generator=generator).to(like) * 2 - 1
        return 1 + torch.finfo(torch.float32).eps / 2 * signs

    def nudged(batch: Batch) -> Batch:
        return batch._replace(inputs=batch.inputs * factors(batch.inputs))

    of_weights = {name: factors(values) for name, values in exact.before.items()}

    def moved(params: Params) -> Params:
        return {name: values * of_weights[name] for name, values in params.items()}

    other, redrawn = exact.second_probe_batch, nudged(exact.sample_batch(len(exact.batch.targets)))
    off = replace(
        exact,
        initial=moved(exact.initial),
        before=moved(exact.before),
        after=moved(exact.after),
        batch=nudged(exact.batch),
        probe_batch=nudged(exact.probe_batch),
        second_probe_batch=other and nudged(other),
        sample_batch=lambda _: redrawn,
    )
    return _differences(_seen(off), exact, probes)


def _seen(view: View) -> View:
    """The view with the loss and the gradient of its own arithmetic."""
    with preserve_state(view.network):
        value, gradient = view.value_and_gradient(view.before, view.batch)
    return replace(view, loss_value=value, grad=gradient)


def _differences(view: View, exact: View, probes: Collection[str]) -> Errors:
    found = {
        "loss": relative(view.loss_value, exact.loss_value),
        "gradient": relative(flat(view.grad), flat(exact.grad)),
    }
    for name in probes:
        found |= _of_probe(name, view, exact)
    return found


def _of_probe(name: str, single: View, exact: View) -> Errors:
    """Of every column of numbers that a probe records."""
    ours, theirs = _records(name, single), _records(name, exact)
    units = {k: unit(theirs, exact) for k, unit in UNITS.get(name, {}).items() if k in theirs}
    found = {}
    for key, column in ours.items():
        twin = theirs[key]
        if not isinstance(column, Tensor) or not isinstance(twin, Tensor):
            continue
        if (column.isfinite() | twin.isfinite()).any():  # else there is nothing to compare
            found[f"{name}.{key}"] = relative(column, twin, units.get(key))
    return found


def _records(name: str, view: View) -> Records:
    """What a probe records of a view; its own draws are those of float32."""
    probe = catalog.load(catalog.parts("probes")[name])
    rng = torch.Generator().manual_seed(0)
    with preserve_state(view.network), _Float32Draws():
        return probe(replace(view, rng=rng, shared={}, memory={}), **PROBES[name])


class _Float32Draws(TorchFunctionMode):
    """Within it, draws of float64 are those of float32."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Draw in float32 and cast."""
        kwargs = kwargs or {}
        if func in (torch.randn, torch.rand) and kwargs.get("dtype") == torch.float64:
            return func(*args, **{**kwargs, "dtype": torch.float32}).double()
        return func(*args, **kwargs)


def relative(ours: Tensor, exact: Tensor, unit: Tensor | None = None) -> float:
    """‖ours − exact‖₂ / ‖unit‖₂ over what is finite; infinite unless both have the same there.

    Args:
        ours: any shape.
        exact: the same in float64.
        unit: of what to take the norm, of a shape that broadcasts; the exact values by default.
    """
    unit = exact if unit is None else unit.expand_as(exact)
    finite = exact.isfinite()
    if not finite.any() or not torch.equal(finite, ours.isfinite()):
        return math.inf
    here = finite & unit.isfinite()
    error = torch.linalg.vector_norm(ours.double()[here] - exact[here])
    size = torch.linalg.vector_norm(unit[here])
    return (error / size).item() if error > 0 else 0.0
