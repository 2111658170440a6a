"""Every normalizer under what probes and the loop do with it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp

from tests.helpers.parts.normalizer_blocks import (
    block,
    cases,
    inputs,
    make,
    stop_tracking,
    variants,
)

Options = dict[str, Any]
each = pytest.mark.parametrize(("name", "options"), variants())


def _with_hessian() -> list[Any]:
    return [case for case in cases() if make(case.values[0], **case.values[1]).traits.true_gradient]


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:FutureWarning")  # torch's own use of it
@pytest.mark.parametrize(("name", "options", "maps"), _with_hessian())
def test_hessian_products_by_forward_by_double_backward_and_by_differences_agree(
    name: str, options: Options, maps: bool
) -> None:
    torch.manual_seed(4)  # spectral normalization starts from a vector of the global generator
    module = block(name, options, maps=maps)
    stop_tracking(module)
    parameters = {key: value.detach() for key, value in module.named_parameters()}
    generator = torch.Generator().manual_seed(4)
    ahead = {k: torch.randn(v.shape, generator=generator).double() for k, v in parameters.items()}

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        return functional_call(module, parameters, (inputs(maps=maps),)).sin().sum()

    product = jvp(grad(loss), (parameters,), (ahead,))[1]
    leaves = {key: value.clone().requires_grad_() for key, value in parameters.items()}
    first = torch.autograd.grad(loss(leaves), list(leaves.values()), create_graph=True)
    inner = sum((g * ahead[key]).sum() for g, key in zip(first, leaves, strict=True))
    assert isinstance(inner, Tensor)
    second = torch.autograd.grad(inner, list(leaves.values()))
    above, below = (
        grad(loss)({key: value + step * ahead[key] for key, value in parameters.items()})
        for step in (1e-5, -1e-5)
    )
    for key, wanted in zip(parameters, second, strict=True):
        torch.testing.assert_close(product[key], wanted, rtol=1e-8, atol=1e-8)
        scale = max(1.0, wanted.abs().max().item())
        difference = (above[key] - below[key]) / 2e-5
        torch.testing.assert_close(difference, wanted, rtol=0, atol=1e-5 * scale)


@each
def test_functional_call_is_the_call(name: str, options: Options) -> None:
    module = block(name, options)
    stop_tracking(module)
    parameters = {key: 2 * value.detach() for key, value in module.named_parameters()}
    outputs = functional_call(module, parameters, (inputs(),))
    module.load_state_dict(parameters, strict=False)
    torch.testing.assert_close(outputs, module(inputs()), rtol=0, atol=0)


@each
def test_copies_and_saved_states_evaluate_alike(name: str, options: Options) -> None:
    module = block(name, options)
    module(inputs(seed=1))
    loaded = block(name, options)
    nn.init.zeros_(next(loaded.parameters()))
    loaded.load_state_dict(module.state_dict())
    wanted = module.eval()(inputs())
    for other in (deepcopy(module), loaded.eval()):
        torch.testing.assert_close(other(inputs()), wanted, rtol=0, atol=0)


@each
def test_channels_last(name: str, options: Options) -> None:
    module = block(name, options)
    strided = deepcopy(module).to(memory_format=torch.channels_last)
    batch = inputs().contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(strided(batch), module(inputs()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@each
def test_cuda(name: str, options: Options) -> None:
    module = block(name, options)
    on_device = deepcopy(module).cuda()
    trained = on_device(inputs().cuda())
    module(inputs())
    assert trained.is_cuda
    torch.testing.assert_close(on_device.eval()(inputs().cuda()).cpu(), module.eval()(inputs()))
