"""What stands in for a normalizer changes what its paper changes, on every family it suits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pipeline.architectures import Activation, Network
from pipeline.architectures.deep_linear import deep_linear
from pipeline.architectures.densenet import densenet
from pipeline.architectures.resnet import resnet20, resnet50
from pipeline.architectures.vgg import vgg11
from pipeline.data import Task
from pipeline.normalizers import Normalizer, compose
from pipeline.training.initialization import initialize
from tests.helpers.parts.normalizer_blocks import make

IMAGES = Task(loss="cross_entropy", input_shape=(1, 8, 8), outputs=5)
VECTORS = Task(loss="squared_error", input_shape=(6,), outputs=6)
BUILD: dict[str, Callable[[Normalizer], Network]] = {
    "vgg11": lambda norm: vgg11(IMAGES, norm, width=0.0625),
    "resnet20": lambda norm: resnet20(IMAGES, norm, width=0.25),
    "resnet50": lambda norm: resnet50(IMAGES, norm, width=0.0625),
    "densenet": lambda norm: densenet(IMAGES, norm, depth=10, growth=4),
    "deep_linear": lambda norm: deep_linear(VECTORS, norm, depth=4),
}
DRAWN = make("none")
RESIDUAL = ["resnet20", "resnet50"]


def initialized(architecture: str, norm: Normalizer) -> Network:
    network = BUILD[architecture](norm)
    initialize(network, norm, "he", 0)
    return network


def weights(network: Network) -> dict[str, Tensor]:
    return {
        layer.name: layer.module.get_parameter("weight").detach()
        for layer in network.weight_layers()
    }


def images() -> Tensor:
    return torch.randn(4, *IMAGES.input_shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("architecture", "factor"), [("resnet20", 9**-0.5), ("resnet50", 16**-0.25)]
)
def test_fixup_scales_branches_by_depth_and_ends_them_at_zero(
    architecture: str, factor: float
) -> None:
    drawn = weights(initialized(architecture, DRAWN))
    scaled = weights(initialized(architecture, make("fixup")))
    last = "conv2" if architecture == "resnet20" else "conv3"
    for name, weight in scaled.items():
        if name.endswith(f"branch.{last}") or name == "head.linear":
            assert not weight.any(), name
        elif ".branch." in name:
            torch.testing.assert_close(weight, factor * drawn[name], msg=name)
        else:
            assert torch.equal(weight, drawn[name]), name


@pytest.mark.parametrize("name", ["fixup", "skipinit"])
@pytest.mark.parametrize("architecture", RESIDUAL)
def test_every_block_starts_as_its_shortcut(architecture: str, name: str) -> None:
    network = initialized(architecture, make(name))
    values = images()
    for stage in network:
        before, values = values, stage(values)
        if hasattr(stage, "shortcut"):
            wanted = stage.get_submodule("shortcut")(before).relu()
            torch.testing.assert_close(values, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("architecture", RESIDUAL)
def test_skipinit_leaves_weights_and_at_one_the_function(architecture: str) -> None:
    plain = initialized(architecture, DRAWN)
    skipped = initialized(architecture, make("skipinit"))
    for name, weight in weights(skipped).items():
        assert torch.equal(weight, weights(plain)[name])
    full = initialized(architecture, make("skipinit", alpha=1.0))
    torch.testing.assert_close(full(images()), plain(images()))


@pytest.mark.parametrize("name", ["fixup", "skipinit"])
def test_the_scalars_of_branches_are_learned(name: str) -> None:
    network = initialized("resnet20", make(name))
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.1)
    network(images()).square().sum().backward()
    scalars = [p for key, p in network.named_parameters() if key.endswith("residual.multiplier")]
    assert len(scalars) == 9
    assert all(p.numel() == 1 and p.grad is not None and p.grad.any() for p in scalars)


@pytest.mark.parametrize("name", ["fixup", "skipinit"])
@pytest.mark.parametrize("architecture", ["vgg11", "densenet", "deep_linear"])
def test_networks_without_residual_branches_are_refused(architecture: str, name: str) -> None:
    norm = make(name)
    network = BUILD[architecture](norm)
    with pytest.raises(ValueError, match=f"^{name} does not suit this network: .* residual"):
        initialize(network, norm, "he", 0)


@pytest.mark.parametrize("name", ["fixup", "selu"])
def test_weight_normalizers_are_refused(name: str) -> None:
    norm = compose([make("weight_norm"), make(name)])
    network = BUILD["resnet20"](norm)
    with pytest.raises(ValueError, match=f"^{name} sets the scale of weights, and so does"):
        initialize(network, norm, "he", 0)


@pytest.mark.parametrize("other", ["batch", "scaled_weight_standardization"])
def test_skipinit_goes_with_other_normalizers(other: str) -> None:
    network = initialized("resnet20", compose([make(other), make("skipinit")]))
    block = network.get_submodule("group1_block1")
    features = network.get_submodule("stem")(images())
    torch.testing.assert_close(block(features), features.relu(), rtol=0, atol=0)


def test_two_ends_of_a_branch_are_refused() -> None:
    norm = compose([make("fixup"), make("skipinit")])
    network = BUILD["resnet20"](norm)
    with pytest.raises(ValueError, match=r"at most one normalizer .* residual branches"):
        initialize(network, norm, "he", 0)


@pytest.mark.parametrize("architecture", ["vgg11", "resnet20", "densenet"])
def test_selu_rescales_the_drawn_weights_to_lecuns_variance(architecture: str) -> None:
    drawn = weights(initialized(architecture, DRAWN))
    network = initialized(architecture, make("selu"))
    for name, weight in weights(network).items():
        fan_in = weight[0].numel()
        assert weight.square().mean().item() == pytest.approx(1 / fan_in)
        ratio = weight / drawn[name]
        torch.testing.assert_close(ratio, torch.full_like(ratio, ratio.mean().item()))
    activations = [layer.module for layer in network.activation_layers()]
    assert all(isinstance(a, Activation) and isinstance(a.function, nn.SELU) for a in activations)


def test_selu_is_refused_where_there_is_no_activation() -> None:
    with pytest.raises(ValueError, match="replaces the activation"):
        BUILD["deep_linear"](make("selu"))


def test_activations_stay_near_zero_mean_and_unit_variance_under_selu() -> None:
    torch.manual_seed(0)
    norm = make("selu")
    network = nn.Sequential()
    for _ in range(16):
        network.extend([nn.Linear(256, 256), norm.activation(256)])
    norm.initialize(network)
    for module in network:
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    outputs = network(torch.randn(500, 256))
    assert abs(outputs.mean().item()) < 0.1
    assert outputs.var().item() == pytest.approx(1, abs=0.2)


def test_scaled_standardized_weights_keep_the_variance_through_relus() -> None:
    torch.manual_seed(0)
    norm = make("scaled_weight_standardization")
    network = nn.Sequential()
    for _ in range(8):
        network.extend([nn.ReLU(), norm.weight(nn.Linear(512, 512, bias=False))])
    outputs = network(torch.randn(500, 512))
    assert outputs.var(dim=0).mean().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("name", ["filter_response", "evonorm_s0"])
def test_a_fused_activation_stands_where_the_relus_stood(name: str) -> None:
    options = {"groups": 2} if name == "evonorm_s0" else {}
    for architecture in ("vgg11", "resnet20", "densenet"):
        network = initialized(architecture, make(name, **options))
        assert not any(isinstance(module, nn.ReLU) for module in network.modules())
        assert network(images()).isfinite().all()


def test_global_response_starts_as_nothing() -> None:
    plain, started = (initialized("vgg11", norm) for norm in (DRAWN, make("global_response")))
    torch.testing.assert_close(started(images()), plain(images()), rtol=0, atol=0)
