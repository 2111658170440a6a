"""Hessian-vector products of other libraries, at the view's θ_t, on its batch and in its mode.

Each peer runs a copy of the network that holds θ_t and whose running statistics stand still, so
that all see one function.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any, cast

import torch
from hessian_eigenthings import (
    HessianOperator,
    lanczos_tridiagonal,
    power_iteration_one,
    supervised_loss,
)
from hessian_eigenthings import lanczos as eigenthings_lanczos
from pyhessian import hessian as PyHessian
from torch import Tensor, nn
from torch.func import grad, jvp

from pipeline.architectures import Network
from pipeline.probes._vectors import as_leaves, flat
from pipeline.probes._view import View

with warnings.catch_warnings():
    # A package that curvlinops imports still uses torch.jit.
    warnings.filterwarnings("ignore", ".torch.jit.script. is deprecated")
    from curvlinops import HessianLinearOperator

__all__ = [
    "criterion",
    "curvlinops",
    "curvlinops_product",
    "double_backward",
    "eigenthings",
    "eigenthings_lanczos",
    "forward_over_reverse",
    "frozen_copy",
    "lanczos_tridiagonal",
    "power_iteration_one",
    "pyhessian",
    "pyhessian_product",
]

Product = Callable[[Tensor], Tensor]


def criterion(network: Network) -> nn.Module:
    """The task's loss as torch's own module, the only kind that all peers take."""
    if network.task.loss == "cross_entropy":
        return nn.CrossEntropyLoss()
    return nn.MSELoss(reduction="sum")


def frozen_copy(view: View) -> Network:
    """A copy of the network at θ_t, in the present mode; call it where nothing is touched."""
    network = copy.deepcopy(view.network)
    network.zero_grad(set_to_none=True)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(view.before[name])
    return network


def double_backward(view: View) -> Product:
    """∇(∇L·v), forward and both backwards anew for every product, as many codes do."""

    def product(vector: Tensor) -> Tensor:
        at = as_leaves(view.before)
        slopes = torch.autograd.grad(
            view.loss(at, view.batch), list(at.values()), create_graph=True
        )
        return flat(torch.autograd.grad(slopes, list(at.values()), _split(vector, view)))

    return product


def forward_over_reverse(view: View) -> Product:
    """The forward derivative of the gradient along v: `jvp` of `grad`, of torch.func."""
    slope = grad(lambda at: view.loss(at, view.batch))

    def product(vector: Tensor) -> Tensor:
        along = dict(zip(view.before, _split(vector, view), strict=True))
        return flat(jvp(slope, (view.before,), (along,))[1])

    return product


def curvlinops(view: View) -> HessianLinearOperator:
    """curvlinops' operator; its check of determinism, at the first use, left out."""
    network = frozen_copy(view)
    return HessianLinearOperator(
        network,
        criterion(network),
        list(network.parameters()),
        [(view.batch.inputs, view.batch.targets)],
        check_deterministic=False,
        num_data=len(view.batch.targets),
    )


def curvlinops_product(view: View) -> Product:
    """The operator's product with one flat vector."""
    operator = curvlinops(view)
    return lambda vector: cast(Tensor, operator @ vector)


def eigenthings(view: View) -> HessianOperator:
    """hessian-eigenthings' operator, by its exact method."""
    network = frozen_copy(view)
    return HessianOperator(network, [tuple(view.batch)], supervised_loss(criterion(network)))


def pyhessian(view: View, *, eval_mode: bool) -> PyHessian:
    """PyHessian on one batch: one graph, kept for all its products.

    Args:
        view: the step.
        eval_mode: as it is, it switches to evaluation mode; False keeps it from doing so.
    """
    network: Any = frozen_copy(view)
    if not eval_mode:
        network.eval = lambda: network
    with warnings.catch_warnings():
        # It calls backward with create_graph, of which torch warns: a reference cycle.
        warnings.filterwarnings("ignore", "Using backward\\(\\) with create_graph=True")
        return PyHessian(
            network, criterion(network), data=tuple(view.batch), cuda=view.loss_value.is_cuda
        )


def pyhessian_product(made: PyHessian) -> Product:
    """The product that PyHessian takes within its iterations."""

    def product(vector: Tensor) -> Tensor:
        shapes = [parameter.shape for parameter in made.params]
        parts = vector.split([shape.numel() for shape in shapes])
        along = [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
        return flat(torch.autograd.grad(made.gradsH, made.params, along, retain_graph=True))

    return product


def _split(vector: Tensor, view: View) -> list[Tensor]:
    shapes = [tensor.shape for tensor in view.before.values()]
    parts = vector.split([shape.numel() for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
