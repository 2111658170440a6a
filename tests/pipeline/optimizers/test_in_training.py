"""Optimizers in the loop: what probes see, what evaluations use, checkpoints, fixed buffers."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.architectures import Table
from pipeline.catalog import own_parts
from pipeline.catalog import registry as catalog
from pipeline.optimizers import UpdateRule
from pipeline.probes.landscape import landscape
from pipeline.spec.training import resolve_training
from pipeline.training import loop as training
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.loop import _Loop, why_not_captured
from pipeline.training.optimizer import optimizer, update_rule
from tests.helpers.training.fixtures import (
    ALL,
    PROBES,
    TRAINING,
    assert_same,
    dataset,
    network_of,
    probe_settings,
    settings,
    views_of,
)
from tests.pipeline.training.test_graph_step import _StaticLoop, eager_end, end_of, resumed

AVERAGED = '''
import torch

from pipeline.catalog.option_types import Decay
from pipeline.optimizers import UpdateRule


def averaged(*, beta: Decay = 0.5) -> UpdateRule:
    """The schedule-free form of gradient descent, in few lines."""
    return UpdateRule(
        make=lambda target: _Averaged(target.groups, {"lr": target.lr, "beta": beta, "k": 0}),
        changes_gradients=True,
        averages=True,
    )


class _Averaged(torch.optim.Optimizer):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            group["k"] += 1
            for y in group["params"]:
                z = self.state[y].setdefault("z", y.clone())
                x = (y - (1 - group["beta"]) * z) / group["beta"]
                z.sub_(y.grad.mul_(group["lr"]))
                x.lerp_(z, 1 / group["k"])
                y.copy_((1 - group["beta"]) * z + group["beta"] * x)

    def train(self):
        self._to(lambda y, z, beta: y.mul_(beta).add_(z, alpha=1 - beta))

    def eval(self):
        self._to(lambda y, z, beta: y.sub_(z, alpha=1 - beta).div_(beta))

    @torch.no_grad()
    def _to(self, change):
        for group in self.param_groups:
            for y in group["params"]:
                if "z" in self.state[y]:
                    change(y, self.state[y]["z"], group["beta"])
'''
"""An optimizer whose evaluations are at other weights, and that writes into gradients."""


@pytest.fixture(autouse=True)
def mine(tmp_path: Path) -> Iterator[None]:
    """The optimizer ``mine/averaged``."""
    file = tmp_path / "mine" / "optimizers" / "averaged.py"
    file.parent.mkdir(parents=True)
    file.write_text(AVERAGED)
    own_parts.use(["mine"], tmp_path)
    yield
    own_parts.use([], Path())


def cell(probes: Any, name: str, **options: Any) -> dict[str, Any]:
    """A cell's settings with an optimizer and its options."""
    given = {"optimizer": {"name": name, **options}, "weight_decay": 0.01, "lr": 0.01}
    resolved = resolve_training({**given, "schedule": "cosine"}, "training")
    own = {key: value for key, value in TRAINING.items() if key not in ("momentum", "betas")}
    made = settings(probes, ["batch"])
    kept = {"optimizer", "weight_decay", "lr", "schedule", "momentum", "betas"}
    chosen = {key: value for key, value in resolved.items() if key in kept}
    return {**made, "training": {**own, **chosen, "steps": 6}}


NEW = ["lion", "muon", "mine/averaged"]
if find_spec("schedulefree"):
    NEW.append("schedule_free")
CLIPPED = {"clip": 0.5, "decay_norms": False}


@pytest.mark.parametrize("name", NEW)
def test_a_resumed_run_ends_with_the_same_bits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = cell({}, name, **CLIPPED)

    def end(checkpoints: Checkpoints | None) -> dict[str, Any]:
        return end_of(_Loop(own, dataset(), network_of(["batch"]), checkpoints, float("inf")))

    assert_same(resumed(end, tmp_path / "store", monkeypatch), end(None))


@pytest.mark.parametrize("name", NEW)
def test_probes_and_evaluations_leave_no_trace(name: str) -> None:
    observed, plain = cell(ALL, name), cell({}, name)
    plain["training"] = {**plain["training"], "evaluate_every": 100}
    one, other = (eager_end(each, ["batch"]) for each in (observed, plain))
    for key in set(one) - {"probes", "evaluations"}:
        assert_same(one[key], other[key], key)


@pytest.mark.parametrize("name", ["sgd", "lion"])
def test_a_clipped_step_on_fixed_buffers_has_the_same_bits(name: str) -> None:
    own = cell({"gradient_ics": PROBES["gradient_ics"]}, name, **CLIPPED)
    assert_same(end_of(_StaticLoop(own, ["batch"])), eager_end(own, ["batch"]))


def test_what_is_not_capturable_takes_eager_steps_and_says_why() -> None:
    why = {
        name: why_not_captured(each, update_rule(each["training"]))
        for name, each in ((name, cell({}, name)) for name in ("sgd", "lion", "muon"))
    }
    reason = "optimizer muon: its step needs the host (it is not capturable)"
    assert why == {"sgd": None, "lion": None, "muon": reason}
    noisy = {**cell({}, "sgd"), "normalizer": [{"name": "noisy_batch"}]}
    found = why_not_captured(noisy, update_rule(noisy["training"]))
    assert found is not None
    assert found.startswith("normalizer noisy_batch: ")


def test_the_reason_for_eager_steps_is_in_the_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, which a CPU takes the place of here."""
    monkeypatch.setattr(Tensor, "is_cuda", property(lambda _: True))
    monkeypatch.setattr(training, "EvaluationStatistics", lambda *_, **__: None)
    muon, sgd = cell({}, "muon"), cell({}, "sgd")
    given = dataset(), network_of(["batch"]), None, float("inf")
    eager = _Loop(muon, *given, True)
    assert (eager.outcome.cuda_graph, eager.outcome.why_eager is None) == (False, False)
    captured = _Loop(sgd, *given, True)
    assert (captured.outcome.cuda_graph, captured.outcome.why_eager) == (True, None)
    refused = _Loop(muon, *given, False)
    assert (refused.outcome.cuda_graph, refused.outcome.why_eager) == (False, None)


def with_gradients(module: nn.Module) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(p.shape, generator=generator) for p in module.parameters()]
    for parameter, gradient in zip(module.parameters(), drawn, strict=True):
        parameter.grad = gradient.clone()
    return drawn


@pytest.mark.parametrize("clip", [0.5, 1e6])
def test_clip_bounds_the_norm_of_what_the_optimizer_reads(clip: float) -> None:
    """A step of plain descent is −η·g·min(1, clip/‖g‖), and probes see g."""
    given = {"momentum": 0.0, "weight_decay": 0.0, "schedule": "constant", "lr": 0.25}
    full = {"name": "sgd", "nesterov": False, "clip": clip, "decay_norms": True}
    changes = {"gradient_ics": {"every": 1}}
    (plain, *_) = views_of(network_of(["batch"]), ["gradient_ics"], changes, **given)[
        "gradient_ics"
    ]
    (view, *_) = views_of(
        network_of(["batch"]), ["gradient_ics"], changes, **given, optimizer=full
    )["gradient_ics"]
    assert_same(view.grad, plain.grad)
    total = torch.cat([g.flatten() for g in view.grad.values()]).double().norm()
    factor = min(1.0, clip / total.item())
    assert (factor < 1) == (clip == 0.5)
    for name, gradient in view.grad.items():
        torch.testing.assert_close(
            view.after[name], view.before[name] - 0.25 * factor * gradient, rtol=1e-5, atol=1e-7
        )


@pytest.mark.parametrize("name", ["sgd", "adamw", "lion", "muon"])
def test_without_decay_norms_only_layers_and_tables_decay(name: str) -> None:
    """Without a gradient, what moves is what decays."""
    module = nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 3, 3)),
        nn.BatchNorm2d(3),
        nn.Linear(3, 4),
        Table(torch.ones(2, 2)),
    )
    given = {"optimizer": {"name": name, "decay_norms": False}, "weight_decay": 0.1, "lr": 0.1}
    made = optimizer(module, resolve_training(given, "training"))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(0.5)
            parameter.grad = torch.zeros_like(parameter)
    made.step()
    moved = {key for key, p in module.named_parameters() if not torch.all(p == 0.5)}
    parts = {f"0.parametrizations.weight.original{i}" for i in (0, 1)}
    assert moved == {*parts, "2.weight", "3.value"}


def test_an_optimizer_that_writes_into_gradients_leaves_them_to_probes() -> None:
    own = cell(PROBES, "mine/averaged")
    seen: list[dict[str, Tensor]] = []
    runs = []
    for name in ("mine/averaged", "sgd"):
        run = _Loop(cell(PROBES, name), dataset(), network_of(["batch"]), None, float("inf"))
        observe = run.observer.observe

        def kept(*given: Any, run: _Loop = run, observe: Any = observe) -> None:
            seen.append({n: p.grad.clone() for n, p in run.network.named_parameters()})  # type: ignore[union-attr]
            observe(*given)

        run.observer.observe = kept  # type: ignore[method-assign]
        run.network.train()
        run._step(0)
        runs.append(run)
    assert own["training"]["optimizer"]["name"] == "mine/averaged"
    assert_same(seen[0], seen[1])


def test_evaluations_are_at_the_average_and_training_goes_on_elsewhere() -> None:
    """With β = 1/2 and steps of constant gradients, y lies half-way between x and z."""
    run = _Loop(cell({}, "mine/averaged"), dataset(), network_of(["batch"]), None, float("inf"))
    shown: list[list[Tensor]] = []
    evaluate = training.evaluate

    def keep(network: nn.Module, *given: Any) -> Any:
        shown.append([p.detach().clone() for p in network.parameters()])
        return evaluate(network, *given)  # type: ignore[arg-type]

    run.network.train()
    for step in range(3):
        run._step(step)
    before = [p.detach().clone() for p in run.network.parameters()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "evaluate", keep)
        run._evaluate(3, None)
    assert run.statistics.are_exact(10**6)
    after = [p.detach() for p in run.network.parameters()]
    states = [run.optimizer.state[p]["z"] for p in run.network.parameters()]
    assert_same(before, after)
    for y, z, x in zip(before, states, shown[0], strict=True):
        torch.testing.assert_close(x, 2 * y - z)
    assert any(not torch.equal(x, y) for x, y in zip(shown[0], before, strict=True))


def landscape_of(changes: dict[str, Any], **options: Any) -> dict[str, Tensor]:
    """Records of the second step, along gradient and update."""
    views = views_of(network_of(["none"]), ["landscape"], {"landscape": {}}, **changes)
    own = probe_settings("landscape", **options)
    known = {key: own[key] for key in ("lengths", "lr_span", "lr_cap", "ranges", "directions")}
    found: Any = landscape(views["landscape"][1], **known)
    return found


LINES = {"lengths": 3, "ranges": ["lr"], "directions": ["gradient", "update"]}


def test_the_line_along_the_update_of_plain_descent_is_that_of_the_gradient() -> None:
    plain = {"momentum": 0.0, "weight_decay": 0.0, "schedule": "constant", "lr": 0.5}
    found = landscape_of(plain, **LINES)
    for key in ("loss_range", "effective_beta", "length_max", "cosine_min"):
        along_gradient, along_update = found[key].tolist()
        assert along_update == pytest.approx(along_gradient, rel=1e-3), key


def test_the_line_along_the_update_ends_where_training_goes() -> None:
    """At s = η of Lion's step, the loss is that of the next weights."""
    full = {"name": "lion", "betas": [0.9, 0.99], "clip": None, "decay_norms": True}
    given = {"optimizer": full, "lr": 0.003, "schedule": "constant"}
    options = {**LINES, "lengths": 1, "lr_span": [1.0, 1.0], "directions": ["update"]}
    found = landscape_of(given, **options)
    views = views_of(network_of(["none"]), ["landscape"], {"landscape": {}}, **given)
    view = views["landscape"][1]
    assert found["loss_max"].item() == pytest.approx(view.loss(view.after, view.batch).item())


def test_a_part_that_is_no_rule_is_named(tmp_path: Path) -> None:
    file = tmp_path / "other" / "optimizers" / "net.py"
    file.parent.mkdir(parents=True)
    file.write_text('def net():\n    """Nothing."""\n')
    own_parts.use(["other"], tmp_path)
    with pytest.raises(TypeError, match="optimizer other/net returns None, not an UpdateRule"):
        update_rule(cell({}, "other/net")["training"])


def test_the_catalog_makes_rules_without_the_options_of_training() -> None:
    config = catalog.resolve("optimizers", {"name": "lion", "clip": 1}, "")
    assert config["clip"] == 1
    assert isinstance(catalog.make("optimizers", config), UpdateRule)
