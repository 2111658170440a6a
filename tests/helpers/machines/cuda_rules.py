"""What CUDA's kernels refuse, or answer wrongly without a word, and a CPU's kernels accept.

Each rule looks at one call's arguments. Those of batch normalization and max pooling were read in
the kernels' sources; that of convolution follows from the operation's signature.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

CHANNELS_LAST = torch.channels_last


def check_arguments(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Refuse a call that CUDA's kernel refuses.

    Raises:
        AssertionError: naming the operation and the rule.
    """
    rule = RULES.get(func.overloadpacket.__name__)
    if rule:
        defaults = {a.name: a.default_value for a in func._schema.arguments}
        given = {a.name: value for a, value in zip(func._schema.arguments, args, strict=False)}
        rule(**defaults | given | kwargs)


def check_draws(func: Any, found: Any) -> None:
    """Refuse random numbers that are drawn on the device: another device draws others.

    Raises:
        AssertionError: naming the operation.
    """
    if torch.Tag.nondeterministic_seeded in func.tags:
        drawn = [x for x in tree_leaves(found) if isinstance(x, Tensor) and x.is_meta]
        assert not drawn, f"{func.overloadpacket.__name__}: random numbers are drawn on the host"


def _batch_norm_backward(
    grad_out: Tensor, input: Tensor, weight: Tensor | None, output_mask: list[bool], **rest: Any
) -> None:
    asks = output_mask[1] or output_mask[2]
    assert weight is not None or not asks, "native_batch_norm_backward: no weight to be like"
    assert grad_out.dtype == input.dtype, "native_batch_norm_backward: types differ"
    saved = rest["save_mean"].dtype, rest["save_invstd"].dtype
    assert saved == (input.dtype, input.dtype), "native_batch_norm_backward: types of moments"


def _convolution_backward(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor,
    bias_sizes: list[int] | None,
    output_mask: list[bool],
    **rest: Any,
) -> None:
    assert bias_sizes or not output_mask[2], "convolution_backward: the bias has no sizes"
    kinds = {grad_output.dtype, input.dtype, weight.dtype}
    assert len(kinds) == 1, "convolution_backward: types differ"


def _max_pool_backward(self: Tensor, indices: Tensor, **rest: Any) -> None:
    """The input counts as channels_last where it is laid out so and is not also contiguous."""
    last = self.is_contiguous(memory_format=CHANNELS_LAST) and not self.is_contiguous()
    format_ = CHANNELS_LAST if last else torch.contiguous_format
    assert indices.is_contiguous(memory_format=format_), (
        "max_pool2d_with_indices_backward: indices are not laid out as the input is"
    )


RULES: dict[str, Callable[..., None]] = {
    "native_batch_norm_backward": _batch_norm_backward,
    "convolution_backward": _convolution_backward,
    "max_pool2d_with_indices_backward": _max_pool_backward,
}
