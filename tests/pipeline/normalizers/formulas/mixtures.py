from __future__ import annotations

import torch
from torch import Tensor

from tests.pipeline.normalizers.formulas import common
from tests.pipeline.normalizers.formulas.batch import batch
from tests.pipeline.normalizers.formulas.common import Buffers, State
from tests.pipeline.normalizers.formulas.per_sample import instance


def switchable(
    inputs: Tensor,
    state: State,
    *,
    eps: float = 1e-5,
    momentum: float = 0.1,
    affine: bool = True,
) -> tuple[Tensor, Buffers]:
    prefix = "0." if affine else ""
    names = (f"{prefix}running_mean", f"{prefix}running_var")
    old = torch.stack([state.buffers[name] for name in names], dim=1)
    channels = range(inputs.shape[1])
    of_batch = old
    if state.training:
        of_batch = torch.stack([_moments(inputs[:, c]) for c in channels])
    shares = _shares(state.parameters[f"{prefix}mean_shares"], inputs)
    variance_shares = _shares(state.parameters[f"{prefix}variance_shares"], inputs)

    def one(sample: Tensor) -> Tensor:
        of_sample = _moments(sample)
        return torch.stack([channel(c, sample[c], of_sample) for c in channels])

    def channel(c: int, values: Tensor, of_sample: Tensor) -> Tensor:
        moments = torch.stack([_moments(values), of_sample, of_batch[c]])
        mean = (shares * moments[:, 0]).sum()
        variance = (variance_shares * moments[:, 1]).sum()
        return (values - mean) / (variance + eps).sqrt()

    outputs = common.each_sample(inputs, one)
    if affine:
        outputs = common.affine(outputs, state.parameters["1.weight"], state.parameters["1.bias"])
    new = (1 - momentum) * old + momentum * of_batch.detach()
    return outputs, dict(zip(names, new.T, strict=True))


def _moments(values: Tensor) -> Tensor:
    mean = values.sum() / values.numel()
    return torch.stack([mean, ((values - mean) ** 2).sum() / values.numel()])


def _shares(numbers: Tensor, inputs: Tensor) -> Tensor:
    """The softmax, in which the moments of a single pixel do not take part."""
    powers = numbers.exp()
    if inputs[0, 0].numel() == 1:
        powers = powers * torch.tensor([0.0, 1.0, 1.0])
    return powers / powers.sum()


def batch_instance(
    inputs: Tensor,
    state: State,
    *,
    eps: float = 1e-5,
    momentum: float = 0.1,
    affine: bool = True,
) -> tuple[Tensor, Buffers]:
    gate = state.parameters["gate"]
    clipped = torch.where(gate < 0, 0.0, torch.where(gate > 1, 1.0, gate))
    # A training step clips the parameter itself, and takes the gradient there.
    gate = gate + (clipped - gate).detach() if state.training else clipped
    of_batch, buffers = batch(inputs, state, eps=eps, momentum=momentum, affine=False)
    of_map, _ = instance(inputs, state, eps=eps, affine=False)
    outputs = common.affine(of_batch, gate) + common.affine(of_map, 1 - gate)
    if affine:
        outputs = common.affine(outputs, state.parameters["weight"], state.parameters["bias"])
    return outputs, buffers
