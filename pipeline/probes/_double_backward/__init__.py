"""Operations whose second derivatives cost as little as can be, in the place of torch's own.

torch differentiates a backward pass by general rules. Here convolution, batch normalization, ReLU
and max pooling are each an operation of its own, whose backward has a closed derivative: a Hessian-
vector product of a network made of them is about two gradients' work, as it is for convolutions.

These call torch's kernels directly, so no wrapper of torch's prepares the arguments. What CUDA's
kernels ask for beyond what a CPU's do (batch normalization: read in torch 2.15; max pooling: in an
older source; none of it run on a GPU):

- ``convolution_backward``: sizes of the bias where its gradient is wanted; one type for all
  tensors. Memory formats may differ: the kernel copies.
- ``native_batch_norm_backward``: a weight where the gradient of weight or bias is wanted. Without
  one, contiguous maps raise, and channels_last maps and vectors give empty gradients. Means and
  1/σ as ``native_batch_norm`` returned them. g may have any strides.
- ``max_pool2d_with_indices_backward``: indices in the memory format of the input, whose memory is
  read as it lies. They come from the forward pass of that input.
- ``threshold_backward``: nothing; it is elementwise.

Autograd functions of the normalizers are made of elementwise operations, sums and products, which
take any strides, but for ``linalg.eigh`` (`normalizers._root`): it raises on a matrix that is not
finite. No call sees an empty tensor.
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
