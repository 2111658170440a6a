"""Default options give what torch gives, where torch has the normalizer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations
from torchvision.models.convnext import LayerNorm2d

from tests.helpers.parts.normalizer_blocks import block, inputs, make

MAPS = torch.randn(4, 64, 3, 5, generator=torch.Generator().manual_seed(0))
TORCH: dict[str, Callable[[Tensor], Tensor]] = {
    "batch": nn.BatchNorm2d(64),
    "layer": lambda maps: functional.layer_norm(maps, maps.shape[1:]),
    "instance": nn.InstanceNorm2d(64, affine=True),
    "group": nn.GroupNorm(32, 64),
    "rms": lambda maps: functional.rms_norm(maps, maps.shape[1:], eps=1e-5),
    "layer_per_pixel": LayerNorm2d(64, eps=1e-6),
    # Torch's α multiplies the mean over the window, ours the sum.
    "local_response": nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),
}


@pytest.mark.parametrize("name", TORCH)
def test_maps(name: str) -> None:
    torch.testing.assert_close(make(name).features(64)(MAPS), TORCH[name](MAPS))


def test_batch_of_vectors() -> None:
    vectors = MAPS[:, :, 0, 0]
    torch.testing.assert_close(make("batch").features(64)(vectors), nn.BatchNorm1d(64)(vectors))


def test_centered_l2_is_batch_normalization_in_training() -> None:
    centered = make("l2", centered=True).features(64)
    torch.testing.assert_close(centered(MAPS), nn.BatchNorm2d(64)(MAPS))


def test_weight() -> None:
    made = block("weight_norm", {})
    theirs = parametrizations.weight_norm(nn.Conv2d(3, 6, 3, padding=1)).double()
    theirs.load_state_dict(made.layer.state_dict())
    torch.testing.assert_close(made(inputs()), theirs(inputs()))


def test_spectral() -> None:
    made = block("spectral_norm", {})
    theirs = parametrizations.spectral_norm(nn.Conv2d(3, 6, 3, padding=1)).double()
    names = {"0.left": "0._u", "0.right": "0._v"}
    state = made.layer.state_dict()
    for name, torchs in names.items():
        state[f"parametrizations.weight.{torchs}"] = state.pop(f"parametrizations.weight.{name}")
    theirs.load_state_dict(state)
    torch.testing.assert_close(made.eval()(inputs()), theirs.eval()(inputs()))
