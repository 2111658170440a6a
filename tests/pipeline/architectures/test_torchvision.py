"""Every classifier of torchvision: it builds, and its layers and stages are what they claim."""

from __future__ import annotations

import re
from typing import cast

import pytest
import torch
from torch import Tensor, fx, nn
from torchvision import models
from torchvision.ops import StochasticDepth

from pipeline.architectures import Activation, Network
from pipeline.architectures._torchvision import torchvision
from pipeline.catalog import registry as catalog
from pipeline.catalog.family_names import torchvision_names
from pipeline.data import Task
from pipeline.normalizers import Normalizer, Traits
from pipeline.normalizers._ops.batch_norm import BatchNorm
from pipeline.normalizers.batch import batch
from pipeline.normalizers.normalizer_free import fixup
from pipeline.spec.read import SpecError
from pipeline.training.initialization import initialize
from tests.helpers.parts.classifiers import Marked

NAMES = torchvision_names()
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.GELU, nn.Tanh)
NOT_32 = {
    "alexnet": (64, "Output size is too small"),
    "inception_v3": (96, "Kernel size can't be greater than actual input size"),
    "maxvit_t": (224, "not divisible by partition size 7"),
    "vit_h_14": (28, "Input shape indivisible by patch size"),
}
"""Who does not take images of 32x32 pixels, a size that it takes, and what it says of 32."""


MARKS = Normalizer(features=Marked, activation=Marked, traits=Traits(bias_free=True))


def task(size: int = 32, *, channels: int = 3) -> Task:
    return Task(loss="cross_entropy", input_shape=(channels, size, size), outputs=7)


def on_meta(name: str, size: int = 32, norm: Normalizer = MARKS) -> Network:
    with torch.device("meta"):
        return torchvision(name, task(size), norm)


def stages_called(network: Network, inputs: Tensor) -> tuple[Tensor, list[str]]:
    """Run stage by stage; what has parameters or normalizes, in the order of its calls."""
    called: list[str] = []

    def note(name: str, module: nn.Module) -> None:
        module.register_forward_pre_hook(lambda *_: called.append(name))

    for name in parametrized(network):
        note(name, network.get_submodule(name))
    for stage in network:
        inputs = stage(inputs)
        assert isinstance(inputs, Tensor)
    return inputs, called


def parametrized(network: Network) -> list[str]:
    return [
        name
        for name, module in network.named_modules()
        if isinstance(module, Marked) or list(module.parameters(recurse=False))
    ]


def check_layers(network: Network, size: int) -> None:
    """Stage after stage, on the meta device; parameters are in the order in which data meet them.

    That order decides which parameters belong to a layer, in a table that is sorted by layer.
    """
    outputs, called = stages_called(network, torch.empty(2, 3, size, size, device="meta"))
    assert outputs.shape == (2, 7)
    assert called == parametrized(network)
    assert 5 <= len(network) <= len(network.weight_layers())


def check_parts(network: Network) -> None:
    """Every normalization and activation is the normalizer's; nothing is random or in place."""
    replaced = (nn.BatchNorm2d, nn.LayerNorm, nn.Dropout, StochasticDepth, *ACTIVATIONS)
    modules = list(network.modules())
    assert not [m for m in modules if isinstance(m, replaced) or getattr(m, "inplace", False)]
    activations = [m.function for m in modules if isinstance(m, Activation)]
    marks = [m for m in modules if isinstance(m, Marked)]
    assert len(activations) > 3
    assert set(activations) < set(marks)
    for stage in network:
        for node in cast(fx.GraphModule, stage).graph.nodes:
            if node.op in ("call_function", "call_method"):
                name = getattr(node.target, "__name__", str(node.target))
                assert not re.fullmatch(r".*_|i(add|mul|sub)|.*(drop|relu|elu|silu|norm).*", name)


@pytest.mark.sampled("resnet18", "densenet121")
@pytest.mark.parametrize("name", NAMES)
def test_every_classifier_builds_or_says_which_images_it_takes(name: str) -> None:
    size = 32
    if name in NOT_32:
        size, reason = NOT_32[name]
        with pytest.raises(
            ValueError, match=rf"^torchvision/{name} .* images of 32x32: .*{reason}"
        ):
            on_meta(name)
    network = on_meta(name, size)
    check_layers(network, size)
    check_parts(network)


def test_the_names_are_those_that_torchvision_registers() -> None:
    assert list(NAMES) == models.list_models(module=models)
    assert set(NOT_32) < set(NAMES)


@pytest.mark.parametrize("depth", [11, 13])
def test_a_vgg_without_normalization_gets_it_behind_every_convolution(depth: int) -> None:
    plain, normalized = on_meta(f"vgg{depth}", 32, batch()), on_meta(f"vgg{depth}_bn", 32, batch())
    shapes = [{n: p.shape for n, p in net.named_parameters()} for net in (plain, normalized)]
    assert [*shapes[0].values()] == [*shapes[1].values()]
    assert sum(isinstance(module, BatchNorm) for module in plain.modules()) == depth - 3


def test_names_can_be_read() -> None:
    names = [layer.name for layer in on_meta("resnet18").weight_layers()]
    assert names[:3] == ["conv1.conv", "layer1_0.branch.conv1", "layer1_0.branch.conv2"]
    assert names[5:8] == ["layer2_0.branch.conv1", "layer2_0.branch.conv2", "layer2_0.conv"]
    assert names[-1] == "fc.linear"
    names = [layer.name for layer in on_meta("vit_b_32").weight_layers()]
    half = "encoder_layers_encoder_layer_0_"
    assert names[:3] == [
        "conv_proj.conv",
        f"{half}self_attention.branch.attention.qkv",
        f"{half}self_attention.branch.attention.proj",
    ]
    assert names[3:5] == [f"{half}mlp.branch.linear1", f"{half}mlp.branch.linear2"]


def test_every_layer_of_a_densenet_is_a_stage() -> None:
    assert len(on_meta("densenet121")) == 1 + sum((6, 12, 24, 16)) + 3 + 1


def test_biases_follow_the_normalizer() -> None:
    """With a bias-free one only the output layer of a ResNet has one; without, every layer."""
    bare = [layer.module.bias is None for layer in on_meta("resnet18").weight_layers()]
    assert bare == [True] * 20 + [False]
    for name in ("resnet18", "densenet121", "swin_t"):
        full = on_meta(name, 32, Normalizer()).weight_layers()
        assert all(layer.module.bias is not None for layer in full)


def test_the_output_layer_keeps_its_weight() -> None:
    seen: list[nn.Module] = []

    def weight(module: nn.Module) -> nn.Module:
        seen.append(module)
        return module

    for name in ("squeezenet1_1", "swin_t", "mobilenet_v3_small"):
        seen.clear()
        network = on_meta(name, 32, Normalizer(weight=weight))
        *hidden, _ = [layer.module for layer in network.weight_layers()]
        assert {*map(id, seen)} == {*map(id, hidden)}


def test_residual_branches_end_with_the_normalizers_module() -> None:
    network = on_meta("resnet18", 32, Normalizer(residual=lambda: Marked(0)))
    ends = [name for name, module in network.named_modules() if isinstance(module, Marked)]
    assert ends == [f"layer{i}_{j}.branch.residual" for i in range(1, 5) for j in range(2)]


def test_fixup_finds_the_branches() -> None:
    norm = fixup()
    network = torchvision("resnet18", task(8, channels=1), norm)
    initialize(network, norm, "he", 0)
    for layer in network.weight_layers():
        last = layer.name.endswith("branch.conv2") or layer.name == "fc.linear"
        assert bool(layer.module.get_parameter("weight").any()) is not last
    assert network(torch.randn(2, 1, 8, 8)).shape == (2, 7)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match=r"torchvision/resnet18 needs images, of shape"):
        torchvision(
            "resnet18", Task(loss="cross_entropy", input_shape=(10,), outputs=7), Normalizer()
        )
    small = Normalizer(features=Marked, traits=Traits(minimum_spatial_size=2))
    with pytest.raises(ValueError, match=r"torchvision/resnet18 on this data normalizes .* 1x1"):
        on_meta("resnet18", 32, small)
    assert on_meta("resnet18", 64, small)
    assert on_meta("vit_b_32", 64, small)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("torchvision/resnet5", "torchvision/resnet50"),
        ("torchvison/vit_b_16", "torchvision/vit_b_16"),
        ("swin_t", "torchvision/swin_t"),
        ("renset18", "resnet18"),
        ("torchvision", "torchvision/<name>"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(SpecError, match=f"no architecture '{name}'; did you mean '{nearest}'"):
        catalog.resolve("architectures", name, "base.architecture")


def test_the_catalog_builds_it() -> None:
    settings = catalog.resolve("architectures", "torchvision/mobilenet_v3_small", "x")
    assert settings == {"name": "torchvision/mobilenet_v3_small"}
    with torch.device("meta"):
        assert catalog.make("architectures", settings, task(), Normalizer()).task == task()
