"""Deep linear network (Santurkar et al. 2018, section 2.2 and appendix A): W_k … W_1 x.

There are no biases and no nonlinearity, so without a normalizer the network is one matrix product.
Each layer but the last has its weight normalized, if the normalizer acts on weights, and is
followed by the normalizer on its D features and by an `Activation` of nothing, so that probes find
its output. The normalizer's own activation is not used. Stages: one per layer.

The source does not say whether its last layer is normalized. Here it is not, so that the outputs'
scale is free; ``normalize_last`` treats it like the others.
"""

from __future__ import annotations

from torch import nn

from pipeline.architectures import Activation, Network, chain
from pipeline.data import Task
from pipeline.normalizers import Normalizer, relu


def deep_linear(
    task: Task, norm: Normalizer, *, depth: int = 25, normalize_last: bool = False
) -> Network:
    """Deep linear network: square layers of the data's dimension, without biases.

    (N, D) → (N, outputs), through ``depth`` − 1 layers D x D and one outputs x D.

    Raises:
        ValueError: if the inputs are not vectors, the depth is not positive, or the normalizer
            replaces the activation or needs maps.
    """
    _check(task, norm, depth)
    (dimension,) = task.input_shape
    hidden = [_normalized(norm, dimension, dimension) for _ in range(depth - 1)]
    if normalize_last:
        last = _normalized(norm, dimension, task.outputs)
    else:
        last = chain(linear=nn.Linear(dimension, task.outputs, bias=False))
    stages = [(f"layer{index}", stage) for index, stage in enumerate([*hidden, last], 1)]
    return Network(task, stages)


def _check(task: Task, norm: Normalizer, depth: int) -> None:
    if len(task.input_shape) != 1:
        raise ValueError(
            "deep_linear needs vectors, of shape (dimension,); "
            f"this data's inputs have shape {task.input_shape}"
        )
    if depth < 1:
        raise ValueError(f"deep_linear needs a depth of at least 1, not {depth}")
    if norm.activation is not relu:
        raise ValueError(
            "this normalizer does not suit deep_linear: it replaces the activation, and a linear "
            "network has none; take one that acts on features or weights"
        )
    if norm.traits.minimum_spatial_size > 1:
        raise ValueError(
            "this normalizer does not suit deep_linear: it needs maps of several pixels, and the "
            "features here are vectors; take one that acts on vectors too, or an image architecture"
        )


def _normalized(norm: Normalizer, inputs: int, outputs: int) -> nn.Sequential:
    return chain(
        linear=norm.weight(nn.Linear(inputs, outputs, bias=False)),
        norm=norm.features(outputs),
        activation=Activation(),
    )
