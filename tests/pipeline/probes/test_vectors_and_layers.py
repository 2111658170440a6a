"""The guard, the division of parameters among layers, and the arithmetic that probes share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.architectures import Network
from pipeline.data._objective import objective
from pipeline.probes._layers import parameters_by_layer
from pipeline.probes._vectors import as_leaves, cosine, flat, norm, parameters, safe_divide
from pipeline.probes._view import View, preserve_state
from tests.helpers.reference import probes as reference_probes
from tests.helpers.training.views import FAMILIES, NORMALIZERS, STEP, view_of

EVERY = pytest.mark.parametrize(
    ("family", "norm"), [(family, norm) for family in FAMILIES for norm in NORMALIZERS]
)


def network_of(family: str, norm: str) -> Network:
    return view_of(family, norm).network


def visible(network: nn.Module) -> dict[str, Any]:
    """All that the training loop can see of the network and of the process."""
    return {
        "state": {k: v.clone() for k, v in network.state_dict().items()},
        "grads": {n: p.grad for n, p in network.named_parameters()},
        "modes": [module.training for module in network.modules()],
        "attributes": [
            (getattr(module, "track_running_stats", None), getattr(module, "noise_key", None))
            for module in network.modules()
        ],
        "rng": torch.get_rng_state(),
        "tf32": (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32),
        "hooks": [len(module._forward_pre_hooks) for module in network.modules()],
    }


def assert_same(a: Any, b: Any) -> None:
    """Equal, tensors bitwise."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, Tensor):
        assert torch.equal(a, b)
    else:
        assert a == b


@pytest.fixture(params=[False, True], ids=["no_tf32", "tf32"])
def tf32(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Run with TF32 allowed or not; afterwards as it was."""
    backends: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn]
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = request.param
    yield request.param
    for backend, value in zip(backends, before, strict=True):
        backend.allow_tf32 = value


def measure_and_fail(view: View) -> None:
    """Do inside the guard all that a probe may do, and raise."""
    with preserve_state(view.network):
        assert not torch.backends.cuda.matmul.allow_tf32
        assert not torch.backends.cudnn.allow_tf32
        assert all(module.training for module in view.network.modules())
        view.network(view.batch.inputs)
        torch.rand(3)
        with view.noise_of(STEP + 1):
            view.loss(view.after, view.batch)
            raise ZeroDivisionError


@pytest.mark.parametrize("norm", ["batch", "noisy_batch"])
def test_untouched_restores_everything_when_its_body_raises(norm: str, tf32: bool):
    view = view_of("vgg", norm)
    view.network.get_submodule("layer2").eval()
    norms: list[Any] = [m for m in view.network.modules() if hasattr(m, "track_running_stats")]
    norms[2].track_running_stats = False
    before = visible(view.network)
    assert before["tf32"] == (tf32, tf32)
    with pytest.raises(ZeroDivisionError):
        measure_and_fail(view)
    assert_same(before, visible(view.network))


@EVERY
def test_loss_is_that_of_the_step(family: str, norm: str):
    view = view_of(family, norm)
    with preserve_state(view.network):
        assert view.loss(view.before, view.batch) == view.loss_value
        assert view.loss(view.after, view.batch) != view.loss_value


def test_noise_is_that_of_the_named_step():
    view = view_of("vgg", "noisy_batch")
    with preserve_state(view.network):
        own = view.loss(view.before, view.batch)
        with view.noise_of(STEP + 1):
            other = view.loss(view.before, view.batch)
        assert view.loss(view.before, view.batch) == own != other
    outputs = reference_probes.copy_with(view, view.before, STEP + 1)(view.batch.inputs)
    expected = objective(view.network.task, outputs, view.batch.targets)
    assert other.item() == pytest.approx(expected.item(), rel=1e-12)


@EVERY
def test_parameters_are_divided_among_the_layers(family: str, norm: str):
    network = network_of(family, norm)
    layers = parameters_by_layer(network)
    owned = [name for layer in layers for name in layer.all]
    assert owned == [name for name, _ in network.named_parameters()]
    assert {n: i for i, layer in enumerate(layers) for n in layer.all} == reference_probes.owners(
        network
    )
    assert [layer.name for layer in layers] == reference_probes.weight_layer_names(network)


@EVERY
def test_weights_are_the_weight_or_the_parts_of_it(family: str, norm: str):
    network = network_of(family, norm)
    layers = parameters_by_layer(network)
    names = [layer.name for layer in layers]
    for layer in layers:
        assert list(layer.weight) == [n for n in layer.all if reference_probes.is_weight(n, names)]
        assert layer.weight
        children = list(network.named_children())
        assert layer.name.startswith(f"{children[layer.stage][0]}.")


def test_names_of_weights():
    plain, split, standard = (
        parameters_by_layer(network_of("vgg", norm))
        for norm in ("batch", "weight", "weight_standardization+group")
    )
    part = "layer2.conv.parametrizations.weight.original"
    assert plain[1].weight == ("layer2.conv.weight",)
    assert plain[1].all == ("layer2.conv.weight", "layer2.norm.weight", "layer2.norm.bias")
    assert split[1].weight == (f"{part}0", f"{part}1")
    assert split[1].all == ("layer2.conv.bias", f"{part}0", f"{part}1")
    assert standard[1].weight == (part,)
    assert plain[-1].all == ("head.linear.weight", "head.linear.bias")


def test_a_normalizer_before_its_convolution_belongs_to_the_layer_before():
    stem, first, *_ = parameters_by_layer(network_of("densenet", "batch"))
    after = "block1_layer1.branch.bottleneck.norm"
    assert stem.all == ("stem.conv.weight", f"{after}.weight", f"{after}.bias")
    assert first.name == "block1_layer1.branch.bottleneck.conv"
    assert (stem.stage, first.stage) == (0, 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_stages_in_parts_are_the_network(family: str):
    view = view_of(family)
    cut, count = 2, len(view.network)
    with preserve_state(view.network):
        inputs = view.batch.inputs
        for stages in (range(0, 0), range(0, cut), range(cut, count), range(count, count)):
            inputs = view.network.run_stages(view.after, inputs, stages)
        whole = torch.func.functional_call(view.network, view.after, (view.batch.inputs,))
    assert torch.equal(inputs, whole)


def test_copies_are_copies():
    network = network_of("vgg", "batch")
    copies = parameters(network)
    leaves = as_leaves(copies)
    assert all(leaf.is_leaf and leaf.requires_grad for leaf in leaves.values())
    assert not any(copy.requires_grad for copy in copies.values())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert all(copy.any() for name, copy in copies.items() if "bias" not in name)


def test_flat_joins_in_order():
    tensors = {"a": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "b": torch.tensor(5.0)}
    assert flat(tensors).tolist() == [1, 2, 3, 4, 5]
    assert flat(list(tensors.values())).tolist() == [1, 2, 3, 4, 5]


def test_norm_of_a_large_float32_vector():
    """Summed in float32, this one is off by 1 % on a CPU."""
    values = torch.full((10**7,), 1e-3)
    assert norm(values).item() == pytest.approx(math.sqrt(10), rel=1e-6)


def test_norm_neither_overflows_nor_underflows():
    assert norm(torch.full((4,), 1e30)).item() == pytest.approx(2e30, rel=1e-6)
    assert norm(torch.full((4,), 1e-30)).item() == pytest.approx(2e-30, rel=1e-6)


def test_cosine():
    a, b = torch.tensor([3.0, 4.0]), torch.tensor([-4.0, 3.0])
    assert cosine(a, a + b).item() == pytest.approx(math.sqrt(0.5))
    assert cosine(a, b).item() == pytest.approx(0, abs=1e-7)
    assert cosine(1e-25 * a, a).item() == pytest.approx(1)
    assert cosine(a, torch.zeros(2)).isnan()
    many = torch.rand(1000, 7)
    assert all(cosine(row, row) <= 1 for row in many)


def test_ratio_to_nothing_is_missing():
    found = safe_divide(torch.tensor([1.0, 0.0, 3.0]), torch.tensor([0.0, 0.0, 2.0]))
    assert found.isnan().tolist() == [True, True, False]
    assert found[2] == 1.5
