"""Evaluation against means over single samples, and its traps: modes, limits, empty splits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from pipeline.architectures import Network
from pipeline.data import Dataset, Split
from pipeline.training.evaluation import evaluate, training_samples
from tests.helpers.stores.cells import IMAGES, REGRESSION, cell, parts_of

NOISY = {**IMAGES, "normalizer": "noisy_batch"}


def parts(config: dict[str, Any]) -> tuple[Dataset, Network]:
    """Data and a network whose running statistics have moved."""
    dataset, network = parts_of(cell(config))
    network.train()
    with torch.no_grad():
        network(dataset.batch(dataset.train, slice(0, 32)).inputs)
    return dataset, network


@pytest.mark.parametrize("config", [IMAGES, NOISY])
def test_classification_is_the_mean_over_single_samples(config: dict[str, Any]) -> None:
    dataset, network = parts(config)
    split = Split(*(tensor[:37] for tensor in dataset.test))
    loss, accuracy = evaluate(network, replace(dataset, test=split), "test", None)
    losses, hits = [], []
    network.eval()
    for sample in range(37):
        one = dataset.batch(split, slice(sample, sample + 1))
        logits, label = network(one.inputs)[0].detach().double(), int(one.targets)
        losses.append(-float(logits.log_softmax(0)[label]))
        hits.append(int(logits.argmax()) == label)
    assert loss == pytest.approx(sum(losses) / 37, rel=1e-5)
    assert accuracy == sum(hits) / 37


def test_a_split_longer_than_a_batch_weighs_every_sample_alike() -> None:
    dataset, network = parts(IMAGES)
    many = torch.arange(1100) % len(dataset.test.targets)
    split = Split(*(tensor[many] for tensor in dataset.test))
    loss, accuracy = evaluate(network, replace(dataset, test=split), "test", None)
    network.eval()
    batch = dataset.batch(split, slice(None))
    logits = network(batch.inputs).double()
    assert loss == pytest.approx(
        torch.nn.functional.cross_entropy(logits, batch.targets).item(), rel=1e-6
    )
    assert accuracy == (logits.argmax(1) == batch.targets).double().mean().item()


def test_regression_is_the_mean_squared_distance_and_has_no_accuracy() -> None:
    dataset, network = parts(REGRESSION)
    loss, accuracy = evaluate(network, dataset, "validation", None)
    inputs, targets = (tensor.double() for tensor in dataset.validation)
    distances = ((network.double()(inputs) - targets) ** 2).sum(1)
    assert loss == pytest.approx(distances.mean().item(), rel=1e-6)
    assert accuracy is None


def test_the_network_is_left_as_it_was() -> None:
    dataset, network = parts(NOISY)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    rng = torch.get_rng_state()
    evaluate(network, dataset, "test", None)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert all(module.training for module in network.modules())
    assert torch.equal(rng, torch.get_rng_state())
    assert torch.is_grad_enabled()


def test_an_empty_split_has_no_values() -> None:
    dataset, network = parts(IMAGES)
    empty = Split(dataset.test.inputs[:0], dataset.test.targets[:0])
    assert evaluate(network, replace(dataset, test=empty), "test", None) == (None, None)
    assert evaluate(network, replace(dataset, test=empty), "test", 5) == (None, None)


def test_a_limit_takes_so_many_samples_of_every_kind() -> None:
    """A set of images in folders is sorted by class: its first samples are all of one."""
    dataset, network = parts(IMAGES)
    order = dataset.test.targets.argsort()
    split = Split(*(tensor[order] for tensor in dataset.test))
    ordered = replace(dataset, test=split)
    seen: list[torch.Tensor] = []
    network.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    limited = evaluate(network, ordered, "test", 100)
    (shown,) = seen
    assert len(shown) == 100
    every = ordered.batch(split, slice(None)).inputs
    index = [next(i for i, x in enumerate(every) if torch.equal(x, one)) for one in shown]
    assert len(split.targets[index].unique()) == 10
    assert evaluate(network, ordered, "test", 100) == limited
    assert torch.equal(seen[0], seen[1])


def test_of_the_training_split_as_many_samples_are_taken_as_of_the_larger_other() -> None:
    dataset, network = parts(IMAGES)
    larger = max(len(dataset.validation.targets), len(dataset.test.targets))
    assert [training_samples(dataset, limit) for limit in (None, 3, 10**6)] == [larger, 3, larger]
    empty = Split(dataset.test.inputs[:0], dataset.test.targets[:0])
    alone = replace(dataset, validation=empty, test=empty)
    assert [training_samples(alone, limit) for limit in (None, 3)] == [None, 3]
    loss, _ = evaluate(network, dataset, "train", 10**6)
    network.eval()
    batch = dataset.batch(dataset.train, slice(None))
    expected = torch.nn.functional.cross_entropy(network(batch.inputs).double(), batch.targets)
    assert loss == pytest.approx(expected.item(), rel=1e-6)


def test_a_limit_above_the_split_takes_all() -> None:
    dataset, network = parts(IMAGES)
    whole = evaluate(network, dataset, "test", None)
    assert evaluate(network, dataset, "test", 10**6) == pytest.approx(whole, rel=1e-6)
