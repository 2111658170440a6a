"""What timm gives, where it has the normalizer; where the two differ, what the source says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from timm.layers.evo_norm import EvoNorm2dB0, EvoNorm2dS0
from timm.layers.filter_response_norm import FilterResponseNormTlu2d
from timm.layers.grn import GlobalResponseNorm
from timm.layers.norm import GroupNorm, GroupNorm1, LayerNorm2d, RmsNorm2d
from timm.layers.norm_act import BatchNormAct2d
from timm.layers.split_batchnorm import SplitBatchNorm2d
from timm.layers.std_conv import ScaledStdConv2d, StdConv2d
from torch import Tensor, nn

from tests.helpers.parts.normalizer_blocks import inputs, make

CHANNELS = 64
MAPS = torch.randn(6, CHANNELS, 3, 5, generator=torch.Generator().manual_seed(0)).double() + 0.3
NAMES = {"slope": "v", "threshold": "tau"}
"""Our names of parameters, and timm's where they are others."""
Peers = dict[str, Callable[[], nn.Module]]
SAMPLE: Peers = {
    "evonorm_s0": lambda: EvoNorm2dS0(CHANNELS),
    "filter_response": lambda: FilterResponseNormTlu2d(CHANNELS, eps=1e-6),
    "global_response": lambda: GlobalResponseNorm(CHANNELS, channels_last=False),
    "layer": lambda: GroupNorm1(CHANNELS, eps=1e-5),
    "layer_per_pixel": lambda: LayerNorm2d(CHANNELS),
    "group": lambda: GroupNorm(CHANNELS, 32, eps=1e-5),
}
BATCH: Peers = {
    "batch": lambda: BatchNormAct2d(CHANNELS, apply_act=False),
    # Timm's ε is 1e-3; the source's 1e-5 is given to both.
    "evonorm_b0": lambda: EvoNorm2dB0(CHANNELS, eps=1e-5),
}


class _Ours(nn.Module):
    """Features and activation, the latter where the normalizer has its own."""

    def __init__(self, name: str) -> None:
        super().__init__()
        norm = make(name)
        self.features = norm.features(CHANNELS)
        own = name == "filter_response"
        self.activation = norm.activation(CHANNELS) if own else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        return self.activation(self.features(maps))


def _pair(name: str, peer: Callable[[], nn.Module]) -> tuple[nn.Module, nn.Module]:
    """Ours and timm's, in float64, with the same random parameters."""
    ours, theirs = _Ours(name).double(), peer().double()
    theirs_by_name = dict(theirs.named_parameters())
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for path, parameter in ours.named_parameters():
            key = path.rpartition(".")[2]
            parameter.copy_(torch.randn(parameter.shape, generator=generator).double())
            theirs_by_name.pop(NAMES.get(key, key)).copy_(parameter)
    assert not theirs_by_name
    return ours, theirs


def _agree(ours: nn.Module, theirs: nn.Module, maps: Tensor = MAPS) -> None:
    """Outputs, and gradients with respect to the inputs."""
    found = []
    for module in (ours, theirs):
        leaf = maps.clone().requires_grad_()
        outputs = module(leaf)
        found.append((outputs, torch.autograd.grad(outputs.sin().sum(), leaf)[0]))
    for value, wanted in zip(*found, strict=True):
        # Some of timm's take statistics in float32, whatever they are given.
        torch.testing.assert_close(value, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SAMPLE | BATCH)
def test_outputs_and_gradients(name: str) -> None:
    _agree(*_pair(name, (SAMPLE | BATCH)[name]))


def test_running_averages_of_batch() -> None:
    ours, theirs = _pair("batch", BATCH["batch"])
    ours(MAPS)
    theirs(MAPS)
    _agree(ours.eval(), theirs.eval())


def test_evonorm_b0_averages_the_biased_variance_and_timm_the_unbiased() -> None:
    """The authors' code averages the biased one, which their paper does not say; timm does not."""
    ours, theirs = _pair("evonorm_b0", BATCH["evonorm_b0"])
    ours(MAPS)
    theirs(MAPS)
    values = MAPS.numel() // CHANNELS
    moved = ours.get_buffer("features.0.running_var") - 0.9
    unbiased = theirs.get_buffer("running_var") - 0.9
    torch.testing.assert_close(unbiased, moved * values / (values - 1))


def test_ghosts_of_timms_split_batch_normalization() -> None:
    """Timm keeps parameters and averages for each part; its first part's are compared."""
    ours = make("ghost_batch", ghost=3).features(CHANNELS).double()
    _agree(ours, SplitBatchNorm2d(CHANNELS, num_splits=2).double())


def test_rms_over_a_single_position_is_timms() -> None:
    """Timm's is over the channels of a position, ours over a sample: one where a map is 1x1."""
    ours, theirs = make("rms").features(CHANNELS), RmsNorm2d(CHANNELS, eps=1e-5)
    _agree(ours.double(), theirs.double(), MAPS[:, :, :1, :1])


def test_weight_standardization() -> None:
    convolution = StdConv2d(3, 6, 3, padding=1, bias=True, eps=1e-5).double()
    ours = make("weight_standardization").weight(nn.Conv2d(3, 6, 3, padding=1).double())
    _copy(convolution, ours)
    _agree(ours, convolution, inputs())


def test_scaled_weight_standardization_differs_from_timms_by_where_eps_stands() -> None:
    """Ours, as the source has it: √max(n·σ², ε). Timm's: √(n·(σ² + ε)). At ε = 0 they are one."""
    gamma = 1.7128585504496627
    convolution = ScaledStdConv2d(3, 6, 3, padding=1, gamma=gamma, eps=1e-14).double()
    norm = make("scaled_weight_standardization", eps=0.0)
    ours = norm.weight(nn.Conv2d(3, 6, 3, padding=1).double())
    _copy(convolution, ours)
    with torch.no_grad():
        gain = ours.get_parameter("parametrizations.weight.original1")
        convolution.gain.copy_(gain.copy_(torch.linspace(-1, 2, 6).view(gain.shape)))
    _agree(ours, convolution, inputs())


def _copy(theirs: nn.Conv2d, ours: nn.Module) -> None:
    """Give ours the raw weight and the bias of timm's."""
    setattr(ours, "weight", theirs.weight.detach())  # noqa: B010  (a parametrized attribute)
    bias = theirs.bias
    assert bias is not None
    ours.get_parameter("bias").data.copy_(bias.detach())
