"""Products of the Hessian with vectors, many at one point: one graph, kept, and run through again.

The loss and its gradient are computed once, with the graph of both. A product is then a single
backward pass through that graph, for any vector. Convolution, batch normalization, ReLU and max
pooling, most of the work, are replaced by equivalents whose second derivatives are cheap
(`_second`); all other operations are differentiated by autograd. So there is one way for every
network, no forward pass within a product, and nothing that a product could change in the network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.probes._double_backward import TwiceDifferentiable
from pipeline.probes._vectors import Params, as_leaves, flat
from pipeline.probes._view import View

Product = Callable[[Tensor], Tensor]
"""A linear map of flat vectors."""


@dataclass(frozen=True)
class Hessian:
    """H = ∇²L at one point, as products with flat vectors: the parameters' entries in order.

    Holds the graph of the gradient, two to three times the memory of a training step.
    """

    params: Params
    """The point: leaves, in order."""
    gradient_graph: Params
    """∇L there, with its graph."""

    @property
    def gradient(self) -> Tensor:
        """∇L (n), detached."""
        return flat(self.gradient_graph).detach()

    def __call__(self, vector: Tensor) -> Tensor:
        """H·v (n): about 2 gradients' time."""
        names = list(self.params)
        return self.block(names, names)(vector)

    def block(self, rows: Sequence[str], columns: Sequence[str]) -> Product:
        """Make the product with the block H[rows, columns] of the named parameters.

        It maps entries of ``columns`` to entries of ``rows``, and costs only what lies on a path
        from the one's gradients to the other's values.
        """
        places, shapes = (
            [self.params[name] for name in rows],
            [self.params[name].shape for name in columns],
        )
        # A gradient that depends on no parameter has no graph: its part of H is 0.
        slopes = [self.gradient_graph[name] for name in columns]
        curved = [place for place, slope in enumerate(slopes) if slope.requires_grad]

        def product(vector: Tensor) -> Tensor:
            if not curved:
                return vector.new_zeros(sum(place.numel() for place in places))
            parts = vector.split([shape.numel() for shape in shapes])
            found = torch.autograd.grad(
                [slopes[place] for place in curved],
                places,
                [_laid_out(parts[place].view(shapes[place])) for place in curved],
                retain_graph=True,
                materialize_grads=True,
            )
            return flat(found)

        return product


def hessian(loss: Callable[[Params], Tensor], params: Params) -> Hessian:
    """Differentiate a loss once and keep the graph: about 1.2 gradients' time.

    Args:
        loss: a pure function of parameters by name, twice differentiable by autograd, whose buffers
            stand still (see `pipeline.probes._view.preserve_state`).
        params: the point.
    """
    at = as_leaves(params)
    with TwiceDifferentiable():
        value = loss(at)
    slopes = torch.autograd.grad(
        value, list(at.values()), create_graph=True, materialize_grads=True
    )
    return Hessian(at, dict(zip(at, slopes, strict=True)))


def hessian_of(view: View) -> Hessian:
    """The Hessian of the view's loss in all parameters at θ_t, on its batch; one for all probes.

    On a CPU everything four-dimensional is laid out channels last, where convolutions are faster.
    """
    if "hessian" not in view.shared:
        batch = view.batch._replace(inputs=_laid_out(view.batch.inputs))
        params = {name: _laid_out(tensor) for name, tensor in view.before.items()}
        view.shared["hessian"] = hessian(lambda at: view.loss(at, batch), params)
    return view.shared["hessian"]


def hessian_times_gradient(view: View) -> Tensor:
    """H·g (n) in all parameters, g the view's gradient; taken once for all probes."""
    if "hessian_times_gradient" not in view.shared:
        product = hessian_of(view)
        gradient = flat([view.grad[name] for name in product.params])
        view.shared["hessian_times_gradient"] = product(gradient)
    return view.shared["hessian_times_gradient"]


def _laid_out(values: Tensor) -> Tensor:
    if values.ndim != 4 or values.device.type != "cpu":
        return values
    return values.contiguous(memory_format=torch.channels_last)
