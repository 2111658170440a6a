"""The statistics by which evaluation mode normalizes: running averages, or exact ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pipeline.probes._view import preserve_state
from pipeline.training.batches import Batches

SAMPLES = 4096
"""Training samples of an exact average, in whole batches; all of them, where there are fewer."""
LARGEST_START = 0.01
"""Largest weight of the arbitrary first value at which a running average is an estimate."""


class EvaluationStatistics:
    """What evaluation mode of a network uses in place of batch statistics.

    These are the running averages, as training has left them, wherever these estimate what the
    network was trained with. They do not in two cases: training draws noise, which evaluation
    leaves out, so that later layers were averaged on inputs that evaluation never shows them; and
    soon after the start, when the arbitrary value from which an average begins still weighs more
    than 1 %: (1 − momentum)^t > 0.01 after t steps, that is t < 44 at a momentum of 0.1. In both
    cases exact means take their place: each layer's batch statistics, averaged over one pass, in
    training mode and without noise, through the first training batches of the run (augmented as
    in training; as many whole batches as 4,096 samples hold and an epoch has, at least one).

    Source: the exact means are the population statistics of Ioffe & Szegedy, ICML 2015, Algorithm
    2; Wu & Johnson, 2021 ("Rethinking 'Batch' in BatchNorm"), call them precise.
    """

    def __init__(self, network: nn.Module, batches: Batches, *, exact: bool = False) -> None:
        self._network, self._batches, self._exact = network, batches, exact
        modules: list[Any] = list(network.modules())
        self._averaging = [m for m in modules if hasattr(m, "exact_batches")]
        self._noisy = [m for m in modules if hasattr(m, "noise_key")]

    @contextmanager
    def after(self, steps: int, params: Mapping[str, Tensor] | None = None) -> Iterator[None]:
        """Context manager within which the network's buffers are those of an evaluation.

        It leaves no trace: buffers, modes and generators are afterwards what they were before.

        Args:
            steps: training steps whose batches the running averages have taken in.
            params: parameters at which exact means are taken; the network's own by default.
        """
        if not self.are_exact(steps):
            yield
            return
        # Copies take their place, since a probe's graph may hold the buffers of an earlier probe.
        before = [dict(module._buffers) for module in self._averaging]
        try:
            for module, own in zip(self._averaging, before, strict=True):
                module._buffers.update({k: b if b is None else b.clone() for k, b in own.items()})
            self._average(params or {})
            yield
        finally:
            for module, own in zip(self._averaging, before, strict=True):
                module._buffers.update(own)

    def are_exact(self, steps: int) -> bool:
        """Whether an evaluation after so many steps takes exact means."""
        first = (((1 - module.momentum) ** steps) for module in self._averaging)
        always = self._exact or bool(self._noisy)
        return bool(self._averaging) and (always or max(first) > LARGEST_START)

    @torch.no_grad()
    def _average(self, params: Mapping[str, Tensor]) -> None:
        """Move the averages to the exact means."""
        with preserve_state(self._network), _exactly(self._averaging):
            for module in self._noisy:
                module.eval()  # draws nothing
            for inputs in self._inputs():
                functional_call(self._network, dict(params), (inputs,))

    def _inputs(self) -> Iterator[Tensor]:
        """Inputs of the batches that an exact mean is taken over."""
        seen = 0
        for step in range(self._batches.steps_per_epoch):
            inputs = self._batches.at(step).inputs
            if seen and seen + len(inputs) > SAMPLES:
                return
            seen += len(inputs)
            yield inputs


@contextmanager
def _exactly(modules: list[Any]) -> Iterator[None]:
    """Context manager within which averages are exact ones."""
    for module in modules:
        module.exact_batches = 0
    try:
        yield
    finally:
        for module in modules:
            module.exact_batches = None
