"""timm's classifiers under any normalizer; under their own they compute what timm's compute."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from pipeline.architectures import Network, Table
from pipeline.architectures._timm import timm as build
from pipeline.catalog import registry as catalog
from pipeline.contract.rules import problems
from pipeline.data import Task
from pipeline.normalizers import Normalizer, Traits
from pipeline.spec.read import SpecError
from pipeline.training.initialization import initialize
from tests.helpers.parts.classifiers import Marked, check_same

library: Any = pytest.importorskip("timm", reason="timm is not installed")


class Case(NamedTuple):
    """The normalizer that a classifier has by itself, and the size of its images."""

    norm: str
    size: int = 32
    options: Mapping[str, Any] = MappingProxyType({})


PRECISE = {"eps": 1e-6}
CASES = {
    "test_resnet": Case("batch"),
    "test_efficientnet": Case("batch"),
    "test_convnext": Case("layer_per_pixel", options={"eps": 1e-5}),
    "test_vit": Case("layer_per_pixel", options=PRECISE),
}
"""timm's own smallest, of 0.1 to 0.5 million parameters."""


def task(size: int = 32, *, channels: int = 3) -> Task:
    return Task(loss="cross_entropy", input_shape=(channels, size, size), outputs=7)


def ours(name: str, case: Case) -> Network:
    norm = catalog.make("normalizers", {"name": case.norm, **case.options})
    network = build(name, task(case.size), norm)
    initialize(network, norm, "he", 3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            if ".norm" in key or key.endswith("bias"):
                parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return network.double()


def original(name: str, case: Case) -> nn.Module:
    config = library.get_pretrained_cfg(name)
    sized = {"img_size": case.size} if config is not None and config.fixed_input_size else {}
    model = library.create_model(name, pretrained=False, num_classes=7, **sized)
    for module in model.modules():
        for rate in ("p", "drop_prob", "drop_rate"):
            if isinstance(getattr(module, rate, None), float):
                setattr(module, rate, 0.0)
    return model.double()


def called(model: nn.Module, inputs: Tensor) -> list[nn.Module]:
    """Layers and normalizations, in the order of their calls."""
    seen: list[nn.Module] = []
    handles = [
        module.register_forward_pre_hook(lambda module, _: seen.append(module))
        for module in model.modules()
        if "weight" in dict(module.named_parameters(recurse=False))
    ]
    model.eval()(inputs)
    for handle in handles:
        handle.remove()
    return seen


def tables(model: nn.Module) -> dict[str, list[Tensor]]:
    """Parameters outside of layers and normalizations, by the last word of their names."""
    found: dict[str, list[Tensor]] = {}
    for path, module in model.named_modules():
        own = dict(module.named_parameters(recurse=False))
        if isinstance(module, Table):
            own = {path.rpartition(".")[2].rstrip("0123456789"): module.value}
        elif "weight" in own:
            own = {}
        for name, value in own.items():
            found.setdefault(name, []).append(value)
    return found


@torch.no_grad()
def give(network: Network, model: nn.Module, inputs: Tensor) -> None:
    """Give timm's model the parameters of ours; a bias that ours lacks becomes 0."""
    for own, slot in zip(called(network, inputs), called(model, inputs), strict=True):
        ours, theirs = (dict(m.named_parameters(recurse=False)) for m in (own, slot))
        for key, value in theirs.items():
            value.copy_(ours[key] if key in ours else torch.zeros_like(value))
    for name, values in tables(network).items():
        for value, slot in zip(values, tables(model)[name], strict=True):
            slot.copy_(value)


@pytest.mark.parametrize("name", CASES)
def test_equals_timm(name: str) -> None:
    case = CASES[name]
    check_same(ours(name, case), original(name, case), case.size, give)


NORMS = (nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)


@pytest.mark.parametrize("name", ["resnet10t", *CASES])
def test_every_normalization_is_replaced_and_every_layer_is_seen(name: str) -> None:
    """With the channels where the normalizer expects them, of images with one channel."""
    norm = Normalizer(features=Marked, activation=Marked, traits=Traits())
    with torch.device("meta"):
        network = build(name, task(channels=1), norm)
        assert network(torch.empty(2, 1, 32, 32)).shape == (2, 7)
    modules = list(network.modules())
    assert not any(isinstance(module, NORMS) for module in modules)
    marks = [key for key, m in network.named_modules() if isinstance(m, Marked) and ".norm" in key]
    theirs = library.create_model(name, pretrained=False, num_classes=7, in_chans=1)
    layers = [m for m in theirs.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(network.weight_layers()) == len(layers)
    assert len(marks) == len([m for m in theirs.modules() if isinstance(m, NORMS)])
    assert len(network) > 3


def test_a_network_keeps_the_rules_of_architectures() -> None:
    config = catalog.resolve("architectures", "timm/test_resnet", "x")
    assert [problem for _, problem in problems("architectures", config) if problem] == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("beit_base_patch16_224", "blocks.0.attn calls the function linear; call a module"),
        ("sequencer2d_s", "rnn_v is of the class LSTM; only the weights of Conv2d and Linear"),
        ("resnetv2_50d_evos", "norm normalizes as a EvoNorm2dS0, which cannot be replaced"),
        ("convit_tiny", "forward makes a tensor without the images"),
        ("mvitv2_tiny", "torch.fx cannot trace it: TypeError: "),
        ("inception_v3", "does not take images of 32x32: "),
    ],
)
def test_what_cannot_be_replaced_or_cut_is_refused_by_name(name: str, message: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=f"^timm/{name}") as caught:
        build(name, task(), Normalizer())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tables_that_timm_draws_are_drawn_by_the_seed() -> None:
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(drawn))
        network = build("test_vit", task(), Normalizer())
        initialize(network, Normalizer(), "he", seed)
        (found,) = [m for key, m in network.named_modules() if key.endswith("pos_embed")]
        drawn.append(next(found.parameters()).detach())
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert drawn[0].std().item() == pytest.approx(0.02, rel=0.2)


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(SpecError, match="no architecture 'timm/resnet10tt'; did you mean 'timm/"):
        catalog.resolve("architectures", "timm/resnet10tt", "architecture")
    with pytest.raises(SpecError, match="did you mean 'timm/resnet10t'"):
        catalog.resolve("architectures", "resnet10t", "architecture")


def test_without_timm_one_line_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "timm_names", lambda: ())
    monkeypatch.setattr(catalog, "parts", lambda kind: {})
    with pytest.raises(SpecError, match="'timm/resnet10t' needs timm: pip install timm"):
        catalog.resolve("architectures", "timm/resnet10t", "architecture")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match=r"^timm/resnet10t needs timm: pip install timm"):
        build("resnet10t", task(), Normalizer())
