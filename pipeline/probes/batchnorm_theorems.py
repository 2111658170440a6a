"""The theorems on batch normalization's smoothing, term by term, on the layers being trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.catalog.option_types import AtLeastOne
from pipeline.normalizers._ops.batch_norm import BatchNorm
from pipeline.normalizers._ops.common import channelwise
from pipeline.probes._activations import by_unit
from pipeline.probes._layers import select_layers
from pipeline.probes._vectors import safe_divide
from pipeline.probes._view import Records, View

_LAYERS = (BatchNorm, nn.BatchNorm1d, nn.BatchNorm2d)


def batchnorm_theorems(view: View, *, layers: Sequence[AtLeastOne] | None = None) -> Records:
    """Both sides of theorems 4.1 and 4.2, as realised in every batch normalization layer.

    A unit of such a layer makes z = γŷ + β of y, with ŷ = (y − μ)/σ over the m values of the batch.
    With g = ∂L/∂z, d = ∂L/∂y, H and Ĥ the second derivatives of L in z and in y, and σ² = var + ε,

        4.1   ‖d‖² = γ²/σ²·(‖g‖² − ⟨1, g⟩²/m − ⟨g, ŷ⟩²/m)
        4.2   dᵀĤd = (γd/σ)ᵀ H (γd/σ) − Σ γ/(mσ²)·⟨g, ŷ⟩·‖d‖²

    Both are equalities at ε = 0 (v3 of the source prints 1/√m in the last term of 4.1, a misprint:
    with it the right side can be negative). The source states them unit by unit; here all units of
    a layer are taken together, which is 4.1 summed over units, and 4.2 with d and H those of the
    whole layer: the derivative of ŷ leaves every unit's d in its direction, so that it holds too.

    Records, summed over units: ``gradient_squared`` ‖d‖², ``output_gradient_squared`` ‖g‖²,
    ``scaled_squared`` γ²/σ²·‖g‖², ``mean_term`` γ²/σ²·⟨1, g⟩²/m, ``projection_term``
    γ²/σ²·⟨g, ŷ⟩²/m; ``curvature`` dᵀĤd, ``scaled_curvature`` (γd/σ)ᵀH(γd/σ), ``curvature_term``
    Σ γ/(mσ²)⟨g, ŷ⟩‖d‖²; ``scale`` is the mean of γ²/σ² over units. ``gap_41`` is the difference of
    the two sides over ‖d‖², ``gap_42`` that over the sum of the absolute values of the right side's
    terms: what ε and rounding leave.

    Layers: those of `batch`, `noisy_batch` (before its noise) and their compositions, and torch's
    own. A network
    without any has no rows. Theorems 4.4 and 4.5 are not measured: they speak of maxima over all
    inputs of a norm and of the distance to an optimum, which no batch shows.

    Cost: one forward, one backward with a graph, and for every layer two products with second
    derivatives of what follows it.

    Args:
        view: the step.
        layers: which batch normalization layers, from 1 on; null for all.

    Raises:
        ValueError: if a layer is named that the network has not, or in evaluation mode, in which a
            batch does not move its own statistics.

    Source: Santurkar et al., NeurIPS 2018, theorems 4.1 and 4.2.
    """
    if view.mode == "eval":
        raise ValueError(
            "batchnorm_theorems.mode: must be train; in eval mode a layer has no batch statistics"
        )
    named = view.network.named_modules()
    every = [(n, m) for n, m in named if type(m) in _LAYERS and m.training]
    wanted = select_layers(every, layers, "batchnorm_theorems") if every else []
    rows = _rows(view, [module for _, (_, module) in wanted]) if wanted else []
    return {
        "layer": [name for _, (name, _) in wanted],
        "index": [index for index, _ in wanted],
        "layers": [len(every)] * len(wanted),
        **{key: torch.stack([row[key] for row in rows]) for key in (rows[0] if rows else ())},
    }


class _Seen(NamedTuple):
    """A layer in a run: its input y and output z, displaced by leaves that are 0."""

    gamma: Tensor | float
    eps: float
    inputs: Tensor
    at_inputs: Tensor
    at_outputs: Tensor


def _rows(view: View, modules: Sequence[nn.Module]) -> list[dict[str, Tensor]]:
    with _displaced(modules) as seen:
        loss = view.loss(view.before, view.batch)
    layers = [seen[module] for module in modules]
    leaves = [layer.at_inputs for layer in layers] + [layer.at_outputs for layer in layers]
    gradients = torch.autograd.grad(loss, leaves, create_graph=True)
    half = len(layers)
    return [
        _row(layer, d, g)
        for layer, d, g in zip(layers, gradients[:half], gradients[half:], strict=True)
    ]


@contextmanager
def _displaced(modules: Sequence[nn.Module]) -> Iterator[dict[nn.Module, _Seen]]:
    """Within it, a run adds a leaf of zeros to each layer's input and output, and leaves them."""
    seen: dict[nn.Module, _Seen] = {}

    def enters(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        assert isinstance(module, _BatchNorm)
        leaf = torch.zeros_like(inputs[0], requires_grad=True)
        seen[module] = _Seen(_gamma(module), module.eps, inputs[0].detach(), leaf, leaf)
        return (inputs[0] + leaf,)

    def leaves(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> Tensor:
        leaf = torch.zeros_like(output, requires_grad=True)
        seen[module] = seen[module]._replace(at_outputs=leaf)
        return output + leaf

    with ExitStack() as hooks:
        for module in modules:
            hooks.callback(module.register_forward_pre_hook(enters).remove)
            hooks.callback(module.register_forward_hook(leaves).remove)
        yield seen


def _gamma(module: _BatchNorm) -> Tensor | float:
    """γ of the parameters that the run is made with."""
    return 1.0 if module.weight is None else module.weight.detach().double()


def _row(layer: _Seen, d: Tensor, g: Tensor) -> dict[str, Tensor]:
    """All terms of one layer; tensors below are (values of a unit, units), in float64."""
    y, step, slope = (by_unit(t.detach()).double() for t in (layer.inputs, d, g))
    centered = y - y.mean(0)
    variance = centered.square().mean(0) + layer.eps
    unit, gain = centered / variance.sqrt(), layer.gamma / variance.sqrt()
    scale, m = gain.square(), len(y)
    projection = (slope * unit).sum(0)
    terms = {
        "gradient_squared": step.square().sum(),
        "scale": scale.mean(),
        "output_gradient_squared": slope.square().sum(),
        "scaled_squared": (scale * slope.square().sum(0)).sum(),
        "mean_term": (scale * slope.sum(0).square()).sum() / m,
        "projection_term": (scale * projection.square()).sum() / m,
        "curvature": _curvature(d, layer.at_inputs, d.detach()),
        "scaled_curvature": _curvature(g, layer.at_outputs, channelwise(gain, d) * d.detach()),
        "curvature_term": (gain / variance.sqrt() * projection * step.square().sum(0)).sum() / m,
    }
    return terms | _gaps(terms)


def _curvature(gradient: Tensor, leaf: Tensor, along: Tensor) -> Tensor:
    """vᵀ(∂²L/∂leaf²)v, by one more backward from the gradient to its leaf."""
    along = along.to(leaf.dtype)
    (product,) = torch.autograd.grad(
        gradient, leaf, along, retain_graph=True, materialize_grads=True
    )
    return (product.double() * along).sum()


def _gaps(terms: dict[str, Tensor]) -> dict[str, Tensor]:
    """How far the two sides of each theorem are apart, relatively."""
    left, right = terms["gradient_squared"], terms["scaled_squared"]
    right = right - terms["mean_term"] - terms["projection_term"]
    curved, term = terms["scaled_curvature"], terms["curvature_term"]
    return {
        "gap_41": safe_divide((left - right).abs(), left),
        "gap_42": safe_divide(
            (terms["curvature"] - curved + term).abs(), curved.abs() + term.abs()
        ),
    }
