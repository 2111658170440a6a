"""Operations whose second derivatives cost as little as can be, in the place of torch's own.

torch differentiates a backward pass by general rules. Here convolution, batch normalization, ReLU
and max pooling are each an operation of its own, whose backward has a closed derivative: a Hessian-
vector product of a network made of them is about two gradients' work, as it is for convolutions.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from pipeline.probes._double_backward.convolution import convolution
from pipeline.probes._double_backward.normalization import normalization
from pipeline.probes._double_backward.selection import pooling, rectification

_OWN: dict[Any, Callable[..., Tensor | None]] = {
    functional.conv2d: convolution,
    functional.batch_norm: normalization,
    functional.relu: rectification,
    functional.max_pool2d: pooling,
}
_SIGNATURES = {function: signature(own) for function, own in _OWN.items()}


class TwiceDifferentiable(TorchFunctionMode):
    """Within it, the four operations are those here, where they can be.

    Everything else, and these with other arguments (running statistics, named paddings, samples
    without a batch, in place), is left to torch. Values and derivatives are the same up to
    rounding.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Replace the four functions."""
        kwargs = kwargs or {}
        if func in _OWN:
            given = _SIGNATURES[func].bind(*args, **kwargs)
            given.apply_defaults()
            found = _OWN[func](**given.arguments)
            if found is not None:
                return found
        return func(*args, **kwargs)
