"""Over the catalog: an evaluation is of the function that was trained, early and late."""

from __future__ import annotations

import pytest

from pipeline.catalog import registry as catalog
from pipeline.training.evaluation_statistics import EvaluationStatistics
from tests.helpers.training.evaluation_gap import averaging, measured
from tests.helpers.training.fixtures import (
    configurations,
    dataset,
    loop_of,
    network_of,
    settings,
)

WIDTH = 0.25


@pytest.mark.sampled("batch")
@pytest.mark.parametrize("name", averaging())
def test_evaluation_is_of_the_training_function_on_a_large_batch(name: str) -> None:
    """Without its noise. Exact means differ by the spread of the batches, running averages by lag.

    These lag by about 1/momentum steps, which shows while the loss falls fast, as at step 60.
    """
    gap = measured(name, 60, WIDTH)
    assert gap.exact.loss == pytest.approx(gap.batch.loss, abs=0.1)
    assert gap.exact.accuracy == pytest.approx(gap.batch.accuracy, abs=0.03)
    assert gap.recorded.loss == pytest.approx(gap.batch.loss, abs=0.3)


@pytest.mark.parametrize("name", ["batch", "l1", "switchable"])
def test_soon_after_the_start_too(name: str) -> None:
    gap = measured(name, 5, WIDTH)
    assert gap.are_exact
    assert gap.recorded.loss == pytest.approx(gap.batch.loss, abs=0.05)


def test_running_averages_soon_after_the_start_or_under_noise_are_no_estimate() -> None:
    """The faults that exact means are for; else they would not be needed."""
    early, noisy = measured("batch", 5, WIDTH), measured("noisy_batch", 60, WIDTH)
    assert early.running.loss > early.batch.loss + 0.2
    assert noisy.running.loss > noisy.batch.loss + 0.2


def test_all_others_evaluate_by_no_averages() -> None:
    for name in catalog.parts("normalizers").keys() - set(averaging()):
        network = network_of(configurations()[name])
        loop = loop_of(settings({}), dataset(), network)
        assert not EvaluationStatistics(network, loop.batches).are_exact(0), name
