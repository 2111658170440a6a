"""Under its own normalizer a replaced classifier computes what torchvision's own does."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import pytest
import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.swin_transformer import ShiftedWindowAttention
from torchvision.ops import StochasticDepth

from pipeline.architectures import Network, Table
from pipeline.architectures._torchvision import torchvision
from pipeline.catalog import registry as catalog
from pipeline.data import Batch, Task
from pipeline.normalizers import Normalizer
from pipeline.probes._layers import parameters_by_layer
from pipeline.probes._view import preserve_state
from pipeline.probes.gradient_ics import gradient_ics
from pipeline.training.initialization import initialize
from tests.helpers.parts.classifiers import check_same
from tests.helpers.reference.probes import loss_and_gradient
from tests.helpers.training.views import view_of_step

TASK = Task(loss="cross_entropy", input_shape=(3, 32, 32), outputs=7)


class Case(NamedTuple):
    """A classifier, the normalizer that it has by itself, and images that it takes."""

    norm: str
    size: int = 32
    arguments: Mapping[str, Any] = MappingProxyType({})
    options: Mapping[str, Any] = MappingProxyType({})


EFFICIENT = {"eps": 1e-3, "momentum": 0.01}
CASES = {
    "resnet18": Case("batch"),
    "vgg11_bn": Case("batch"),
    "densenet121": Case("batch"),
    "mobilenet_v3_small": Case("batch", options=EFFICIENT),
    "efficientnet_b0": Case("batch"),
    "regnet_y_400mf": Case("batch"),
    "shufflenet_v2_x0_5": Case("batch"),
    "googlenet": Case("batch", options={"eps": 1e-3}),
    "squeezenet1_1": Case("none"),
    "convnext_tiny": Case("layer_per_pixel", options={"eps": 1e-6}),
    "vit_b_32": Case("layer_per_pixel", 64, {"image_size": 64}, {"eps": 1e-6}),
    "swin_t": Case("layer_per_pixel", 64, options={"eps": 1e-5}),
    "swin_v2_t": Case("layer_per_pixel", 72, options={"eps": 1e-5}),
}


def own_norm(case: Case) -> Normalizer:
    return catalog.make("normalizers", {"name": case.norm, **case.options})


def original(name: str, case: Case) -> nn.Module:
    """Torchvision's own, without what is random in training."""
    more = {"aux_logits": False, "init_weights": False} if name == "googlenet" else case.arguments
    model = models.get_model(name, num_classes=7, **more)
    for module in model.modules():
        if isinstance(module, nn.Dropout | StochasticDepth):
            module.p = 0.0
    return model.double()


def ours(name: str, case: Case) -> Network:
    task = Task(loss="cross_entropy", input_shape=(3, case.size, case.size), outputs=7)
    norm = own_norm(case)
    network = torchvision(name, task, norm)
    initialize(network, norm, "he", 3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            if ".norm" in key or key.endswith("bias"):
                parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return network.double()


def called(model: nn.Module, inputs: Tensor) -> list[nn.Module]:
    """Layers, normalizations and attentions in the order of their calls."""
    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.LayerNorm)
    whole = (nn.MultiheadAttention, ShiftedWindowAttention)
    seen: list[nn.Module] = []
    handles = [
        module.register_forward_pre_hook(lambda module, _: seen.append(module))
        for module in model.modules()
        if isinstance(module, kinds + whole)
    ]
    model.eval()(inputs)
    for handle in handles:
        handle.remove()
    inner = {m for part in seen if isinstance(part, whole) for m in part.modules()} - {*seen}
    attended = {m for part in seen if isinstance(part, whole) for m in part.children()}
    return [m for m in seen if m not in inner and not _below(m, attended)]


def _below(module: nn.Module, parents: set[nn.Module]) -> bool:
    return any(module in {*parent.modules()} for parent in parents)


def slots(model: nn.Module, inputs: Tensor) -> tuple[list[Any], list[Any]]:
    """Weights and biases of torchvision's layers, and of its normalizations, in forward order."""
    weights, norms = [], []
    for module in called(model, inputs):
        part: Any = module
        if isinstance(module, nn.MultiheadAttention):
            weights += [(part.in_proj_weight, part.in_proj_bias)]
            weights += [(part.out_proj.weight, part.out_proj.bias)]
        elif isinstance(module, ShiftedWindowAttention):
            position = [part.cpb_mlp[0], part.cpb_mlp[2]] if hasattr(part, "cpb_mlp") else []
            weights += [(m.weight, m.bias) for m in [part.qkv, *position, part.proj]]
        elif isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            norms.append((part.weight, part.bias))
        else:
            weights.append((part.weight, part.bias))
    return weights, norms


@torch.no_grad()
def give(network: Network, model: nn.Module, inputs: Tensor) -> None:
    """Give torchvision's model the parameters of ours; a bias that ours lacks becomes 0."""
    weights, norms = slots(model, inputs)
    layers = [cast(Any, layer.module) for layer in network.weight_layers()]
    assert len(layers) == len(weights)
    for layer, (weight, bias) in zip(layers, weights, strict=True):
        weight.copy_(layer.weight)
        if bias is not None:
            bias.copy_(torch.zeros_like(bias) if layer.bias is None else layer.bias)
    values = [p for key, p in network.named_parameters() if ".norm" in key]
    assert len(values) == 2 * len(norms)
    for value, slot in zip(values, [each for pair in norms for each in pair], strict=True):
        slot.copy_(value)
    tables = [module.value for module in network.modules() if isinstance(module, Table)]
    endings = ("token", "embedding", "table", "scale")
    fitting = [p for key, p in model.named_parameters() if key.endswith(endings)]
    for value, slot in zip(tables, fitting, strict=True):
        slot.copy_(value)


@pytest.mark.sampled("resnet18")
@pytest.mark.parametrize("name", CASES)
def test_equals_torchvision(name: str) -> None:
    case = CASES[name]
    check_same(ours(name, case), original(name, case), case.size, give)


def test_all_that_is_drawn_comes_from_the_seed_and_is_paired() -> None:
    """Weights and position tables, whatever the global generator and the normalizer."""

    def drawn(norm: Normalizer, seed: int) -> list[Tensor]:
        torch.manual_seed(seed + 10)
        before = torch.random.get_rng_state()
        network = torchvision("swin_t", TASK, norm)
        initialize(network, norm, "glorot", seed)
        assert torch.equal(torch.random.get_rng_state(), before)
        modules = network.modules()
        kinds = (nn.Conv2d, nn.Linear, Table)
        return [next(m.parameters()).detach() for m in modules if isinstance(m, kinds)]

    norm = catalog.make("normalizers", {"name": "layer_per_pixel"})
    first, second, other = drawn(norm, 1), drawn(Normalizer(), 1), drawn(norm, 2)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    tables = [value for value in first if value.shape == (169, 3)]
    assert torch.cat(tables).std().item() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5"])
def test_gradient_ics_through_stages_is_that_of_the_whole_network(name: str) -> None:
    """At layers spread over the depth, against two whole gradients."""
    network = ours(name, CASES[name])
    generator = torch.Generator().manual_seed(6)
    inputs = torch.randn(4, 3, 32, 32, generator=generator, dtype=torch.float64)
    batch = Batch(inputs, torch.tensor([0, 3, 5, 6]))
    view = view_of_step(network, batch, batch, 0.01)
    with preserve_state(network):
        records: Any = gradient_ics(view)
    layers = parameters_by_layer(network)
    assert records["layer"] == [layer.name for layer in network.weight_layers()]
    _, whole = loss_and_gradient(view, view.before, batch)
    for place in (1, 2, len(layers) // 2, len(layers) - 1):
        (weight,) = layers[place].weight
        updated = {key: view.after[key] for layer in layers[:place] for key in layer.all}
        _, shifted = loss_and_gradient(view, {**view.before, **updated}, batch)
        right = (shifted[weight] - whole[weight]).norm()
        assert right > 0
        torch.testing.assert_close(records["l2"][place], right, rtol=1e-6, atol=0)
