"""Every optimizer of the catalog against a float64 twin of its paper's formula."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.catalog import registry as catalog
from pipeline.spec.training import resolve_training
from pipeline.training.optimizer import optimizer, set_learning_rate
from tests.pipeline.optimizers.references import TWINS

OPTIONS: dict[str, list[dict[str, Any]]] = {
    "sgd": [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}],
    "adam": [{}, {"betas": [0.8, 0.99], "eps": 1e-3}],
    "adamw": [{}, {"betas": [0.8, 0.99], "eps": 1e-3}],
    "lion": [{}, {"betas": [0.5, 0.9]}],
    "muon": [
        {},
        {"adjust": "original", "nesterov": False},
        {"adjust": "spectral_unclamped", "iterations": 3, "momentum": 0.5, "adamw_scale": 0.1},
    ],
    "schedule_free": [{}, {"base": "adamw", "beta": 0.8, "second": 0.9, "eps": 1e-3}],
}
CASES = [(name, options) for name, each in OPTIONS.items() for options in each]
RATES = [0.02, 0.04, 0.04, 0.01]
ROUNDED = {"muon": 0.03}
"""Largest error in the size of a step: Newton-Schulz is in bfloat16."""


def test_every_optimizer_has_a_twin() -> None:
    assert TWINS.keys() == OPTIONS.keys() == catalog.parts("optimizers").keys()


def test_the_page_names_every_optimizer() -> None:
    page = (Path(__file__).parents[3] / "docs" / "optimizers.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \| \w.* \| (?:yes|no) \|", page, re.M)) == TWINS.keys()
    for name, word in re.findall(r"^\| `(\w+)` \| \w.* \| (yes|no) \|", page, re.M):
        if name != "schedule_free":
            config = catalog.resolve("optimizers", name, "")
            assert catalog.make("optimizers", config).capturable == (word == "yes")


def needs(name: str) -> None:
    if name == "schedule_free" and find_spec("schedulefree") is None:
        pytest.skip("the package schedulefree is not installed")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3)
    return nn.Sequential(*layers).double()


def gradients(parameter: Tensor, place: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(place)
    return [torch.randn(parameter.shape, generator=generator).double() for _ in RATES]


def moved(module: nn.Module, training: dict[str, Any]) -> list[Tensor]:
    """Where given gradients move the parameters."""
    made: Any = optimizer(module, training)
    if hasattr(made, "train"):
        made.train()
    parameters = list(module.parameters())
    for step, rate in enumerate(RATES):
        set_learning_rate(made, rate)
        for place, parameter in enumerate(parameters):
            parameter.grad = gradients(parameter, place)[step]
        made.step()
    return [p.detach() for p in parameters]


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_an_optimizer_takes_the_steps_of_its_formula(
    name: str, options: dict[str, Any], decay: float
) -> None:
    needs(name)
    given = {"optimizer": {"name": name, **options}, "weight_decay": decay}
    module = network()
    starts = [p.detach().clone() for p in module.parameters()]
    ends = moved(module, resolve_training(given, "training"))
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        right = TWINS[name](start, gradients(start, place), RATES, decay, **options)
        if name in ROUNDED and start.ndim > 1:
            assert (end - right).norm() <= ROUNDED[name] * (right - start).norm()
        else:
            torch.testing.assert_close(end, right, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels_last"])
def test_muon_moves_a_kernel_as_torch_moves_its_matrix(last: bool) -> None:
    """Bit for bit, with the columns in the order in which they lie in memory."""
    module = nn.Conv2d(4, 8, 3, bias=False)
    if last:
        module = module.to(memory_format=torch.channels_last)

    def matrix(kernel: Tensor) -> Tensor:
        return (kernel.permute(0, 2, 3, 1) if last else kernel).reshape(8, -1).clone()

    start = module.weight.detach()
    twin = nn.Parameter(matrix(start))
    made = torch.optim.Muon(
        [twin], lr=0.1, weight_decay=0.0, adjust_lr_fn="match_rms_adamw", momentum=0.95
    )
    training = resolve_training({"optimizer": "muon", "lr": 0.1}, "training")
    own = optimizer(module, training)
    for step in range(3):
        gradient = torch.randn(module.weight.shape, generator=torch.Generator().manual_seed(step))
        module.weight.grad, twin.grad = gradient.clone(), matrix(gradient)
        own.step()
        made.step()
    assert torch.equal(matrix(module.weight.detach()), twin.detach())


def test_muon_orthogonalizes_the_step_of_a_matrix() -> None:
    module = nn.Linear(6, 4, bias=False)
    start = module.weight.detach().clone()
    training = resolve_training(
        {"optimizer": {"name": "muon", "adjust": "original"}, "lr": 1.0}, "training"
    )
    module.weight.grad = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    optimizer(module, training).step()
    values = torch.linalg.svdvals(start - module.weight.detach())
    assert ((values > 0.5) & (values < 1.3)).all()


def test_muon_leaves_rows_columns_and_vectors_to_adamw() -> None:
    module = nn.Sequential(nn.Linear(1, 5), nn.Linear(5, 1), nn.Linear(5, 5))
    made: Any = optimizer(module, resolve_training({"optimizer": "muon"}, "training"))
    matrices = [p for g in made.param_groups if g["matrices"] for p in g["params"]]
    assert [id(p) for p in matrices] == [id(module[2].weight)]
