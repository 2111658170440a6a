"""Halves and parts of batch normalization put together give it back."""

from __future__ import annotations

import pytest
import torch

from tests.helpers.parts.normalizer_blocks import inputs, make


@pytest.mark.parametrize("training", [True, False])
def test_the_two_halves_are_batch_normalization(training: bool) -> None:
    batch = inputs()
    centering, scaling, whole = (
        make(name, affine=False).features(3).double()
        for name in ("mean_only", "variance_only", "batch")
    )
    for seed in (1, 2):
        scaling(centering(inputs(seed=seed)))
        whole(inputs(seed=seed))
    for module in (centering, scaling, whole):
        module.train(training)
    torch.testing.assert_close(scaling(centering(batch)), whole(batch))


def test_mean_only_keeps_the_scale_and_variance_only_the_mean_in_deviations() -> None:
    values = 3 * inputs() + 5
    centred = make("mean_only").features(3).double()(values)
    scaled = make("variance_only").features(3).double()(values)
    axes = (0, 2, 3)
    torch.testing.assert_close(centred.std(axes), values.std(axes))
    ratio = values.mean(axes) / values.std(axes, correction=0)
    torch.testing.assert_close(scaled.mean(axes), ratio, rtol=1e-4, atol=0)


def test_ghosts_are_consecutive_and_the_last_takes_what_remains() -> None:
    outputs = make("ghost_batch", ghost=2).features(3).double()(inputs())
    batch = make("batch").features(3).double()
    wanted = torch.cat([batch(inputs()[i:j]) for i, j in ((0, 2), (2, 4), (4, 5))])
    torch.testing.assert_close(outputs, wanted, rtol=0, atol=0)


def test_a_last_ghost_of_one_vector_is_refused() -> None:
    with pytest.raises(ValueError, match="more than one value per channel"):
        make("ghost_batch", ghost=2).features(5)(inputs(maps=False).float())
