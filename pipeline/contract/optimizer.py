"""Rules of optimizers, on three matrices, a kernel and two vectors with given gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.catalog import registry as catalog
from pipeline.optimizers import Target, UpdateRule
from pipeline.training.checkpoint import decode, encode
from pipeline.training.optimizer import set_learning_rate

_SHAPES = ((6, 4), (4, 6), (3, 3), (4, 2, 3, 3), (6,), (4,))
_RATE, _STEPS = 0.01, 4


def make(config: dict[str, Any]) -> UpdateRule:
    """The optimizer's rule.

    Raises:
        TypeError: if the part returns something else.
    """
    return catalog.make("optimizers", config)


class Trained:
    """Parameters, and an optimizer of a rule over them.

    Args:
        rule: the optimizer's.
        decay: weight decay of the first group (all but the last two parameters), and of the second.
        lr: a number, or a tensor as a captured step has it.
        fused: as in `Target`.
    """

    def __init__(
        self,
        rule: UpdateRule,
        decay: Sequence[float] = (0.0, 0.0),
        lr: float | Tensor = _RATE,
        fused: bool | None = None,
    ) -> None:
        generator = torch.Generator().manual_seed(1)
        self.rule = rule
        self.parameters = [nn.Parameter(torch.randn(s, generator=generator)) for s in _SHAPES]
        groups = [
            {"params": self.parameters[:-2], "weight_decay": decay[0]},
            {"params": self.parameters[-2:], "weight_decay": decay[1]},
        ]
        matrices = frozenset(p for p in self.parameters if p.ndim > 1)
        made: Any = rule.make(Target(groups, matrices, lr, fused))
        if not isinstance(made, torch.optim.Optimizer):
            kind = type(made).__name__
            raise TypeError(f"its make returns a {kind}, not a torch.optim.Optimizer")
        self.optimizer: Any = made
        if rule.averages:
            self.optimizer.train()

    def step(self, number: int, *, scale: float = 1.0, rate: float = _RATE) -> list[Tensor]:
        """Take a step along gradients drawn for its number; gives copies of these."""
        generator = torch.Generator().manual_seed(100 + number)
        for parameter in self.parameters:
            parameter.grad = scale * torch.randn(parameter.shape, generator=generator)
        given = [_gradient(p).clone() for p in self.parameters]
        set_learning_rate(self.optimizer, rate)
        self.optimizer.step()
        return given

    def values(self) -> list[Tensor]:
        """Copies of the parameters."""
        return [p.detach().clone() for p in self.parameters]


def _gradient(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def _moved(before: Sequence[Tensor], after: Sequence[Tensor]) -> list[bool]:
    return [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]


def _moves(config: dict[str, Any]) -> str:
    trained = Trained(make(config))
    before = trained.values()
    for number in range(_STEPS):
        trained.step(number)
    if not all(_moved(before, trained.values())):
        return "a parameter with a gradient does not move"
    finite = all(value.isfinite().all() for value in trained.values())
    return "" if finite else "a parameter is not finite after four steps"


def _rate(config: dict[str, Any]) -> str:
    trained = Trained(make(config))
    before = trained.values()
    trained.step(0, rate=0.0)
    moved = any(_moved(before, trained.values()))
    return "at a rate of 0 parameters move: read lr from the group" if moved else ""


def _decay(config: dict[str, Any]) -> str:
    trained = Trained(make(config), decay=(0.1, 0.0))
    before = trained.values()
    trained.step(0, scale=0.0)
    moved = _moved(before, trained.values())
    if not all(moved[:-2]):
        return "without a gradient, a group's weight_decay moves nothing"
    return "a parameter without gradient and weight decay moves" if any(moved[-2:]) else ""


def _gradients(config: dict[str, Any]) -> str:
    rule = make(config)
    trained = Trained(rule, decay=(0.1, 0.1))
    given = trained.step(0)
    changed = any(_moved(given, [_gradient(p) for p in trained.parameters]))
    if changed == rule.changes_gradients:
        return ""
    return f"changes_gradients is {rule.changes_gradients}, but its step shows {changed}"


def _resumed(config: dict[str, Any]) -> str:
    whole, first, second = (Trained(make(config), decay=(0.1, 0.0)) for _ in range(3))
    for number in range(_STEPS):
        whole.step(number)
    for number in range(_STEPS // 2):
        first.step(number)
    saved = decode(encode({"state": first.optimizer.state_dict()}), torch.device("cpu"))["state"]
    with torch.no_grad():
        for parameter, values in zip(second.parameters, first.values(), strict=True):
            parameter.copy_(values)
    second.optimizer.load_state_dict(saved)
    for number in range(_STEPS // 2, _STEPS):
        second.step(number)
    same = not any(_moved(whole.values(), second.values()))
    return "" if same else "after a checkpoint its steps are others: state_dict lacks something"


class _NoHost(TorchDispatchMode):
    """Refuses to hand a tensor's value to the host, which a captured step cannot do."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        if func.overloadpacket.__name__ == "_local_scalar_dense":
            raise RuntimeError("the host reads a tensor")
        return func(*args, **(kwargs or {}))


def _capturable(config: dict[str, Any]) -> str:
    """As far as a CPU shows it: no value goes to the host, and every state begins at 0."""
    rule = make(config)
    if not rule.capturable:
        return ""
    trained = Trained(rule, decay=(0.1, 0.0), lr=torch.tensor(_RATE), fused=True)
    for number in range(2):
        try:
            with _NoHost() if number else nullcontext():
                trained.step(number)
        except RuntimeError as error:
            return f"capturable is True, but in a step {error}"
    fresh = Trained(rule, decay=(0.1, 0.0), lr=torch.tensor(_RATE), fused=True)
    began = fresh.values()
    fresh.step(0)
    with torch.no_grad():  # as a capture takes its warm-up back
        for parameter, values in zip(fresh.parameters, began, strict=True):
            parameter.copy_(values)
        for state in fresh.optimizer.state.values():
            for value in state.values():
                if isinstance(value, Tensor):
                    value.zero_()
    for number in range(2):
        fresh.step(number)
    same = not any(_moved(trained.values(), fresh.values()))
    return "" if same else "capturable is True, but a state of zeros is not its beginning"


def _averages(config: dict[str, Any]) -> str:
    rule = make(config)
    trained = Trained(rule)
    optimizer = trained.optimizer
    if not rule.averages:
        has = callable(getattr(optimizer, "eval", None))
        return "it has eval(), but averages is False" if has else ""
    for number in range(_STEPS):
        trained.step(number)
    before = trained.values()
    optimizer.eval()
    moved = any(_moved(before, trained.values()))
    optimizer.train()
    near = all(
        torch.allclose(a, b, atol=1e-5) for a, b in zip(before, trained.values(), strict=True)
    )
    if not moved:
        return "averages is True, but eval() changes no parameter"
    return "" if near else "train() does not undo eval()"


RULES: dict[str, Callable[[dict[str, Any]], str]] = {
    "every parameter with a gradient moves, and is finite": _moves,
    "at a learning rate of 0 nothing moves": _rate,
    "weight decay is that of the group": _decay,
    "trait changes_gradients is true": _gradients,
    "it goes on from its state_dict with the same bits": _resumed,
    "trait capturable is true, as far as a CPU shows it": _capturable,
    "trait averages is true": _averages,
}
