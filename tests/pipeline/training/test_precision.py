"""The precision of a training step: what it changes, what it must not, and where it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.architectures import Network
from pipeline.data import Task
from pipeline.data._objective import objective
from pipeline.probes._view import View
from pipeline.store.store import Store
from pipeline.training.batches import Batches
from pipeline.training.precision import check_precision, step_precision
from pipeline.trial.command import main
from pipeline.trial.run import run_trial
from tests.helpers.stores import cells
from tests.helpers.training.fixtures import (
    ALL,
    assert_same,
    configurations,
    dataset,
    loop_of,
    network_of,
    settings,
    views_of,
)
from tests.pipeline.training.test_no_trace import run, state_of


def outputs(precision: str, config: list[Any]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Outputs and gradients of a network on a batch."""
    network, data = network_of(config), dataset()
    batch = Batches(data, batch_size=12, augment=[], seed=0).at(0)
    with step_precision(precision, network):
        found = network(batch.inputs)
        objective(data.task, found, batch.targets).backward()
    grads = [p.grad for p in network.parameters() if p.grad is not None]
    return found.detach(), grads


@pytest.mark.parametrize("config", configurations().values(), ids=list(configurations()))
def test_every_normalizer_trains_in_bfloat16(config: list[Any]) -> None:
    """It steps, its losses stay near those of float32, and all that it keeps is float32."""
    losses, weights = {}, []
    for precision in ("float32", "bfloat16"):
        network = network_of(config)
        cell = settings({}, config, precision=precision, lr=1e-6)
        loop = loop_of(cell, dataset(), network)
        losses[precision] = torch.tensor(loop.run().curve["train_loss"])
        weights.append(torch.cat([p.detach().flatten() for p in network.parameters()]))
        state = [x for s in loop.optimizer.state.values() for x in s.values() if x is not None]
        kept = [*network.parameters(), *network.buffers(), *state]
        assert {x.dtype for x in kept if x.is_floating_point()} == {torch.float32}
    assert not torch.equal(*weights)
    torch.testing.assert_close(losses["float32"], losses["bfloat16"], rtol=0.02, atol=0)


def test_bfloat16_is_autocast_of_the_weight_layers() -> None:
    """Where nothing lies between the layers but ReLUs, autocast computes the same numbers."""
    config = [{"name": "none"}]
    found, grads = outputs("bfloat16", config)
    network, data = network_of(config), dataset()
    batch = Batches(data, batch_size=12, augment=[], seed=0).at(0)
    with torch.autocast("cpu", torch.bfloat16):
        expected = network(batch.inputs)
    torch.testing.assert_close(found, expected.float(), rtol=0.02, atol=0.02)
    assert not torch.equal(found, outputs("float32", config)[0])
    assert torch.equal(found, found.bfloat16().float())  # the last layer's results are rounded
    assert {grad.dtype for grad in grads} == {torch.float32}


def test_a_linear_layer_in_bfloat16_against_rounding_by_hand() -> None:
    """Inputs, weight and result are rounded; the sum is float32: exact on few small integers."""
    task = dataset().task
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1 + 2**-9, 1.0]]))  # the first rounds to 1
        layer.bias.zero_()
    network = network_of_layer(layer, task)
    inputs = torch.tensor([[1.0, 2**-9], [1.0, 1.0]])
    with step_precision("bfloat16", network):
        rounded = network(inputs)
    assert rounded.flatten().tolist() == [1.0, 2.0]
    assert network(inputs).flatten().tolist() == [1 + 2**-8, 2 + 2**-9]


def network_of_layer(layer: nn.Module, task: Task) -> Network:
    return Network(task, [("layer", layer)])


@pytest.mark.parametrize("config", [["batch"], ["decorrelated_batch"], ["weight_norm"]], ids=str)
def test_probes_leave_no_trace_in_bfloat16(config: list[Any]) -> None:
    full = configurations()[config[0]]
    without, observed = (state_of(run(probes, full, precision="bfloat16")) for probes in ({}, ALL))
    assert_same(without, observed)


def test_probes_see_float32_losses_and_gradients() -> None:
    """A step in bfloat16 gives them its parameters; the loss and gradient there are float32's."""

    def shown(precision: str) -> View:
        return views_of(network_of(["batch"]), ["gradient_ics"], precision=precision)[
            "gradient_ics"
        ][0]

    exact, rounded = shown("float32"), shown("bfloat16")
    assert_same(rounded.before, exact.before)  # of step 0
    assert torch.equal(rounded.loss_value, exact.loss_value)
    assert_same(rounded.grad, exact.grad)
    assert any(not torch.equal(rounded.after[k], v) for k, v in exact.after.items())


def test_tf32_is_on_within_the_step_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def flags() -> tuple[Any, ...]:
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    def fails() -> None:
        with step_precision("tf32", network_of(["none"])):
            seen.append(flags())
            raise KeyError

    seen: list[tuple[Any, ...]] = []
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # torch's default is True
    with pytest.raises(KeyError):
        fails()
    assert [*seen, flags()] == [(True, True), (False, False)]


def test_an_error_in_the_step_leaves_no_bfloat16_behind() -> None:
    network = network_of(["none"])
    with pytest.raises(KeyError), step_precision("bfloat16", network):
        raise KeyError
    assert all("forward" not in vars(module) for module in network.modules())


@pytest.mark.parametrize(
    ("capability", "refused"), [((7, 5), True), ((8, 0), False), ((9, 0), False)]
)
def test_tf32_needs_an_ampere_gpu(
    capability: tuple[int, int], refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: capability)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: "Tesla T4")
    device = torch.device("cuda")
    for precision in ("float32", "bfloat16"):
        check_precision({"precision": precision}, device)
    if refused:
        with pytest.raises(ValueError, match="Tesla T4, which is older than Ampere"):
            check_precision({"precision": "tf32"}, device)
    else:
        check_precision({"precision": "tf32"}, device)


def test_a_trial_refuses_tf32_on_a_cpu(tmp_path: Path) -> None:
    cell = cells.cell(cells.REGRESSION, precision="tf32")
    with pytest.raises(ValueError, match=r"training\.precision: tf32 .* not of a CPU"):
        run_trial(cell, Store(str(tmp_path)), "cpu")


def test_the_command_of_a_trial_refuses_tf32_on_a_cpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sweeps/normalizers.yaml", "--set", "seeds=1", "--storage", str(tmp_path)]
    words += ["--set", "grid={}", "--set", "base.architecture=vgg11", "--cell", ""]
    words += ["--set", "base.normalizer=none", "--set", "exclude=[]"]
    assert main(words) == 2
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 1
    assert printed[0].startswith("training.precision: tf32")


def test_precision_is_part_of_a_cells_identity() -> None:
    ids = {cells.cell(cells.REGRESSION, precision=p).cell_id for p in ("float32", "bfloat16")}
    assert len(ids) == 2
