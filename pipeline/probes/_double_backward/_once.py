"""What these operations are not: differentiable three times."""

from __future__ import annotations

import torch


def refuse_third_derivatives() -> None:
    """Raise where the pass under way is itself being recorded.

    Raises:
        NotImplementedError: with create_graph in a Hessian-vector product.
    """
    # once_differentiable would not do: `autograd.grad` leaves its error out as not on the path.
    if torch.is_grad_enabled():
        raise NotImplementedError("a Hessian-vector product is not differentiated again here")
