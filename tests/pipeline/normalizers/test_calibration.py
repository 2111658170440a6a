"""The data-dependent initialization of weight normalization."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from pipeline.architectures import Network
from pipeline.data import Dataset
from pipeline.normalizers.batch_ablations import Centering
from pipeline.store.store import Store
from pipeline.training.batches import probe_batch
from pipeline.trial.run import run_trial
from tests.helpers.stores.cells import IMAGES, REGRESSION, cell, parts_of, run

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "vgg": IMAGES,
    "resnet": IMAGES | {"architecture": {"name": "resnet", "depth": 8, "width": 0.25}},
    "densenet": IMAGES | {"architecture": {"name": "densenet", "depth": 10, "growth": 4}},
    "deep_linear": REGRESSION,
}


def _outputs(network: Network, dataset: Dataset, kind: type[nn.Module]) -> dict[str, Tensor]:
    """On the probe batch, of the modules of a kind, (C, values)."""
    found: dict[str, Tensor] = {}

    def keep(name: str, outputs: Any) -> None:
        found[name] = outputs.transpose(0, 1).flatten(1)

    for name, module in network.named_modules():
        if isinstance(module, kind):
            module.register_forward_hook(lambda _, __, outputs, name=name: keep(name, outputs))
    size = min(128, len(dataset.train.targets))
    with torch.no_grad():
        network(probe_batch(dataset, size).inputs)
    return found


def _normed(network: Network) -> dict[str, nn.Module]:
    return {
        layer.name: layer.module
        for layer in network.weight_layers()
        if parametrize.is_parametrized(layer.module, "weight")
    }


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_outputs_of_normed_layers_are_standardized(name: str) -> None:
    dataset, network = parts_of(cell(ARCHITECTURES[name] | {"normalizer": "weight_norm"}))
    layers = _normed(network)
    outputs = _outputs(network, dataset, nn.Conv2d) | _outputs(network, dataset, nn.Linear)
    assert len(layers) > 2
    for key, layer in layers.items():
        values = outputs[key].double()
        alive = values.var(1, correction=0) > 0
        assert alive.float().mean() > 0.5, key
        torch.testing.assert_close(
            values[alive].var(1, correction=0), torch.ones_like(values[alive, 0]), rtol=0, atol=1e-3
        )
        if layer.bias is not None:
            wanted = torch.zeros_like(values[:, 0])
            torch.testing.assert_close(values.mean(1), wanted, rtol=0, atol=1e-4)


def test_with_mean_only_what_leaves_it_is_standardized() -> None:
    parts = IMAGES | {"normalizer": ["weight_norm", "mean_only"]}
    dataset, network = parts_of(cell(parts))
    for key, values in _outputs(network, dataset, Centering).items():
        deviation, mean = torch.std_mean(values.double(), 1, correction=0)
        torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-4, msg=key)
        alive = deviation > 0
        torch.testing.assert_close(
            deviation[alive], torch.ones_like(mean[alive]), rtol=0, atol=1e-3, msg=key
        )


def test_directions_are_those_of_the_common_draw() -> None:
    plain = {"name": "weight_norm", "from_data": False}
    layers = [
        _normed(parts_of(cell(IMAGES | {"normalizer": n}))[1]) for n in ("weight_norm", plain)
    ]
    for set_by_data, drawn in zip(*(found.values() for found in layers), strict=True):
        key = "parametrizations.weight.original1"
        assert torch.equal(set_by_data.get_parameter(key), drawn.get_parameter(key))


def test_a_trial_calibrates_before_its_first_step(tmp_path: Path) -> None:
    losses = []
    for from_data in (True, False):
        one = cell(
            IMAGES | {"normalizer": {"name": "weight_norm", "from_data": from_data}}, steps=1
        )
        result = run_trial(one, Store(str(tmp_path)), "cpu")
        losses.append(result["summary"]["initial_loss"])
        assert losses[-1] == pytest.approx(run(one).curve["train_loss"][0], rel=1e-5)
    assert losses[0] != pytest.approx(losses[1], rel=0.01)
