"""Float32 is close to float64 at the same weights: loss, gradient and probes, in channels_last."""

from __future__ import annotations

import sys
from collections.abc import Collection
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.catalog import registry as catalog
from pipeline.normalizers import Normalizer
from pipeline.probes._view import View, set_noise
from tests.helpers.reference.float32_errors import (
    FAMILIES,
    PROBES,
    SMALL,
    errors,
    relative,
    sensitivity,
    view_of,
)

GOAL = 1e-5
KINKED = {"l1": 1e-3}
"""The gradient of |x − μ| jumps at μ, and a few values lie within rounding of it."""
ITERATED = {"curvature": 1e-4, "scale_invariant": 1e-4}
"""Goals of probes whose numbers a fixed count of Lanczos products makes: the rounding of each
product moves the space that the next ones search."""
NAMES = list(catalog.parts("normalizers"))
DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
        ],
    ),
]
GROUPS: dict[str, dict[str, Any]] = {
    name: {"channels_per_group": 4}
    for name in ("group", "evonorm_s0", "iterative_whitening", "decorrelated_batch")
}
BRANCHES = "acts on residual branches"
ACTIVATION = "replaces the activation"
MAPS = "needs maps of several pixels"
UNSUITED = {
    "resnet": {},
    "vgg": {"fixup": BRANCHES, "skipinit": BRANCHES},
    "densenet": {"fixup": BRANCHES, "skipinit": BRANCHES},
    "deep_linear": {
        **dict.fromkeys(("fixup", "skipinit"), BRANCHES),
        **dict.fromkeys(("selu", "filter_response", "evonorm_b0", "evonorm_s0"), ACTIVATION),
        **dict.fromkeys(("instance", "batch_instance"), MAPS),
    },
}
"""Normalizers that an architecture refuses, and why."""
FEW = 16
"""Samples of a batch where all is compared. Sums over many have tests of their own below."""
SIZE = 16
"""Height and width of the images there; VGG's pools need twice as much."""
CONDITION = 20
"""Errors beyond the goal are the quantity's, not the arithmetic's, if they are within so many times
what half a bit of the inputs and weights changes in float64: small maps with σ far below their mean
(`instance`), nearly singular Σ (whitening), small eigenvalues."""

LOOSER = {("deep_linear", "decorrelated_batch"): 1e-3}
"""Layer after layer, Σ^(−1/2) magnifies the rounding of Σ, whose small eigenvalues are near 0."""


def assert_precise(view: View, probes: Collection[str], goal: float = GOAL) -> None:
    """All errors are within the goal, or within what the rounding of the inputs explains."""
    found = errors(view, probes)
    goals = {key: max(goal, ITERATED.get(key.split(".")[0], 0.0)) for key in found}
    beyond = {key: error for key, error in found.items() if not error <= goals[key]}
    if beyond:
        moved = sensitivity(view, {key.split(".")[0] for key in beyond} & set(probes))
        assert not {k: (e, moved[k]) for k, e in beyond.items() if not e <= CONDITION * moved[k]}


def assert_within(found: dict[str, float], limit: float = GOAL) -> None:
    assert not {key: error for key, error in found.items() if not error <= limit}


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(family: str, name: str, device: str) -> None:
    if name in UNSUITED[family]:
        with pytest.raises(ValueError, match=UNSUITED[family][name]):
            view_of(FAMILIES[family], name, device=device, batch=FEW)
        return
    size = 2 * SIZE if family == "vgg" else SIZE
    view = view_of(FAMILIES[family], name, device=device, batch=FEW, size=size)
    if (family, name) in LOOSER:
        assert GOAL < errors(view, [])["gradient"] <= LOOSER[family, name]
    else:
        assert_precise(view, [], KINKED.get(name, GOAL))


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NAMES)
def test_every_probe(name: str, device: str) -> None:
    view = view_of(SMALL, name, device=device, batch=FEW, size=SIZE)
    assert_precise(view, list(PROBES), KINKED.get(name, GOAL))


def test_an_error_that_rounding_does_not_explain_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    view = view_of(SMALL, "batch")
    assert_precise(view, ["gradient_noise"])
    wrong = {"gradient_noise.l2": 1e-3}
    monkeypatch.setattr(sys.modules[__name__], "errors", lambda *_: wrong)
    with pytest.raises(AssertionError, match=r"gradient_noise\.l2"):
        assert_precise(view, ["gradient_noise"])


@pytest.mark.parametrize(
    "probe", ["gradient_ics", "moment_ics", "descent_lemma", "batchnorm_theorems"]
)
def test_probes_under_batch_normalization(probe: str) -> None:
    found = errors(view_of(SMALL, "batch"), [probe])
    assert any(key.startswith(f"{probe}.") for key in found)
    assert_within(found)


def test_numbers_that_are_not_finite_count_as_infinitely_far() -> None:
    """Else a network whose loss has overflowed would pass everything."""
    nothing, one = torch.tensor([torch.nan, torch.inf]), torch.tensor([1.0, 2.0])
    assert relative(nothing, nothing.double()) == torch.inf
    assert relative(one, torch.tensor([1.0, torch.nan]).double()) == torch.inf
    assert relative(one, one.double()) == 0
    assert relative(one, torch.tensor([1.0, 2.5]).double()) == pytest.approx(0.5 / 7.25**0.5)


def test_every_probe_is_compared() -> None:
    assert set(PROBES) == set(catalog.parts("probes"))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("mean", [0.0, 1.0, 10.0])
@pytest.mark.parametrize("shape", [(128, 16, 32, 32), (512, 8, 16, 16), (125, 6, 7, 7), (4096, 5)])
@pytest.mark.parametrize("name", ["batch", "ghost_batch", "noisy_batch"])
def test_batch_normalization_alone(
    name: str, shape: tuple[int, ...], mean: float, device: str
) -> None:
    """The input's rounding is `mean` times that of its deviation."""
    assert_within(alone(make(name), shape, mean, device), 1e-6 * max(1.0, mean))


@pytest.mark.sampled("batch", "group")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NAMES)
def test_every_normalizer_alone(name: str, device: str) -> None:
    assert_within(alone(make(name), (128, 16, 32, 32), 1.0, device))


def make(name: str) -> Normalizer:
    return catalog.load(catalog.parts("normalizers")[name])(**GROUPS.get(name, {}))


def alone(norm: Normalizer, shape: tuple[int, ...], mean: float, device: str) -> dict[str, float]:
    """Errors of the outputs, the gradients and the running averages of a normalizer's features."""
    single = norm.features(shape[1]).to(device)
    set_noise(single, 0, 0)
    exact = deepcopy(single).double()
    generator = torch.Generator().manual_seed(0)
    values, above = (torch.randn(shape, generator=generator).to(device) for _ in range(2))
    ours, theirs = (
        _step(module, laid_out(values + mean).to(dtype), laid_out(above).to(dtype))
        for module, dtype in ((single, torch.float32), (exact, torch.float64))
    )
    return {key: relative(ours[key], theirs[key]) for key in theirs}


def laid_out(values: Tensor) -> Tensor:
    return values.contiguous(memory_format=torch.channels_last) if values.ndim == 4 else values


def _step(module: nn.Module, inputs: Tensor, above: Tensor) -> dict[str, Tensor]:
    inputs.requires_grad_()
    outputs = module(inputs)
    outputs.backward(above)
    assert inputs.grad is not None
    grads = {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
    buffers = {n: b for n, b in module.named_buffers() if b.is_floating_point()}
    return {"outputs": outputs.detach(), "inputs": inputs.grad, **grads, **buffers}
