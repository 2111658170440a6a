"""Rules that a part keeps in training: the same bits twice, and no trace of probes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from pipeline.architectures import Activation, Network, chain, convolution
from pipeline.architectures._images import classifier
from pipeline.catalog import registry as catalog
from pipeline.contract.architecture import make as make_network
from pipeline.data import Dataset, Split, Task
from pipeline.normalizers import Normalizer, compose
from pipeline.spec.training import resolve_training
from pipeline.training.initialization import calibrate, initialize
from pipeline.training.loop import train
from pipeline.training.outcome import Outcome

_PROBES: dict[str, dict[str, Any]] = {
    "gradient_ics": {"every": 1},
    "moment_ics": {"every": 1},
    "landscape": {"every": 2, "lengths": 2},
}
_TASK = Task(loss="cross_entropy", input_shape=(3, 8, 8), outputs=10)
_WIDTH = 32
"""Channels: what most group counts divide."""
_TRAINING = {"steps": 3, "batch_size": 12, "lr": 0.01, "evaluate_every": 2}


def rules(kind: str) -> dict[str, Callable[[dict[str, Any]], str]]:
    """The rules of training with a part of a kind."""
    return {
        "the same bits twice in training": lambda config: _same(kind, config),
        "no trace: training with probes and without is bitwise the same": lambda config: _no_trace(
            kind, config
        ),
    }


def probe_rules() -> dict[str, Callable[[dict[str, Any]], str]]:
    """The rules of training with a probe."""
    return {**rules("probes"), "other probes measure the same beside it": _beside}


def _beside(config: dict[str, Any]) -> str:
    """Probes of a step are shown the same tensors, one after another by their names."""
    wanted = ("moment_ics", "signal_propagation")  # reads θ_0; comes after almost all
    others = _resolved({name: {"every": 1} for name in wanted if name != config["name"]})
    both = _probes("probes", config) | others
    alone, beside = (_run("probes", config, each)[0].probes for each in (others, both))
    same = all(str(alone[name]) == str(beside[name]) for name in others)
    return "" if same else "it changes what other probes are shown"


def _same(kind: str, config: dict[str, Any]) -> str:
    first, again = (_run(kind, config, _probes(kind, config)) for _ in range(2))
    if kind == "probes" and not first[0].probes:
        return "it records nothing"
    if _curve(first) != _curve(again) or not _equal(first[1], again[1]):
        return "two runs of three steps end with different weights"
    known = str(first[0].probes), str(again[0].probes)
    return "" if known[0] == known[1] else "two runs of three steps record different numbers"


def _no_trace(kind: str, config: dict[str, Any]) -> str:
    observed, plain = (_run(kind, config, each) for each in (_probes(kind, config), {}))
    if _curve(observed) != _curve(plain) or not _equal(observed[1], plain[1]):
        return "with probes the weights end elsewhere than without"
    if not torch.equal(observed[2], plain[2]):
        return "with probes torch's global generator ends elsewhere than without"
    return ""


def _curve(run: tuple[Outcome, Network, torch.Tensor]) -> str:
    return str([run[0].curve, run[0].evaluations])


def _equal(one: Network, other: Network) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def _run(
    kind: str, config: dict[str, Any], probes: dict[str, Any]
) -> tuple[Outcome, Network, torch.Tensor]:
    """Three steps: how they went, the trained network, and the global generator's state."""
    norms = [config if kind == "normalizers" else catalog.resolve("normalizers", "batch", "")]
    norm = compose([catalog.make("normalizers", each) for each in norms])
    network = make_network(config, norm) if kind == "architectures" else _two_convolutions(norm)
    dataset = _dataset(network.task)
    torch.manual_seed(0)
    initialize(network, norm, "he", 0)
    calibrate(network, norm, dataset)
    optimizer = {"optimizer": config} if kind == "optimizers" else {}
    settings = {
        "training": resolve_training({**_TRAINING, **optimizer}, "training"),
        "normalizer": norms,
        "probes": probes,
        "seed": 0,
    }
    outcome = train(settings, dataset, network)
    return outcome, network, torch.get_rng_state()


def _two_convolutions(norm: Normalizer) -> Network:
    """A network for other kinds of parts than architectures."""
    stages = [
        (
            f"stage{index}",
            chain(
                conv=convolution(norm, channels, _WIDTH, 3),
                norm=norm.features(_WIDTH),
                activation=Activation(norm.activation(_WIDTH)),
            ),
        )
        for index, channels in enumerate((3, _WIDTH), 1)
    ]
    return Network(_TASK, [*stages, ("head", classifier(_WIDTH, _TASK.outputs))])


def _probes(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    if kind == "probes":
        return {config["name"]: {key: value for key, value in config.items() if key != "name"}}
    return _resolved(_PROBES)


def _resolved(probes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    found = {n: catalog.resolve("probes", {"name": n, **own}, "") for n, own in probes.items()}
    return {name: {k: v for k, v in own.items() if k != "name"} for name, own in found.items()}


def _dataset(task: Task) -> Dataset:
    generator = torch.Generator().manual_seed(0)

    def split() -> Split:
        inputs = torch.randn(40, *task.input_shape, generator=generator)
        return Split(inputs, torch.randint(task.outputs, (40,), generator=generator))

    none = torch.empty(0)
    return Dataset(
        task=task, train=split(), validation=split(), test=split(), mean=none, std=none, digest=""
    )
