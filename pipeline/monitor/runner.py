"""The probe runner of a loop that is not ours: what the step computed is computed again.

The loop may scale, clip or accumulate gradients, run under autocast, or draw dropout masks that
nobody can draw again. So loss and gradient of a measured step are made anew, in float32, on the
inputs that the loop names: one gradient per measured step.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Container, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from pipeline.architectures import Network
from pipeline.data import Batch, Dataset, Split, Task
from pipeline.monitor.guard import left_alone
from pipeline.monitor.observed import ObservedNetwork
from pipeline.normalizers import Traits
from pipeline.probes._vectors import Params
from pipeline.probes._view import View, set_noise
from pipeline.spec import cadence_steps
from pipeline.training.probe_runner import Look, ProbeRunner, computed

_TOLERANCE = 0.02
"""Relative difference of two losses that rounding to 8 bits of mantissa can make."""


class Samples(Dataset):
    """Tensors that are already what the network takes."""

    def standardize(self, inputs: Tensor) -> Tensor:
        """The inputs as they are."""
        return inputs


def samples_of(inputs: Tensor, targets: Tensor) -> Samples:
    """Training samples as a dataset of which probe batches are taken."""
    split, none = Split(inputs.detach(), targets.detach()), torch.empty(0)
    nothing = Split(none, none)
    task = Task(loss="cross_entropy", input_shape=tuple(inputs.shape[1:]), outputs=0)
    return Samples(
        task=task, train=split, validation=nothing, test=nothing, mean=none, std=none, digest=""
    )


class OwnLoopObserver(ProbeRunner):
    """Shows probes the steps of a loop that is not ours.

    A probe that raises is not measured any more; `unmeasured` has why. The loop goes on.

    Args:
        settings: seed, probes, and ``training`` with ``steps`` (None: not known) and ``augment``.
        samples: of which probe batches are taken.
        network: as it is before the first step.
        traits: its normalizers'.
        can_draw: whether the samples are training samples to draw from, and not just one batch.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        samples: Dataset,
        network: ObservedNetwork,
        traits: Traits,
        *,
        can_draw: bool,
    ) -> None:
        super().__init__(settings, samples, cast(Network, network), None, traits)
        self.begin()
        self._can_draw = can_draw
        self.unmeasured: dict[str, str] = {}
        """By probe: why it was not measured, and from which step on."""
        self.notes: list[str] = []
        """What a reader must know of the measured losses."""

    def observe(self, step: int, lr: float, before: Params, batch: Batch, value: Tensor) -> None:
        """Run the probes of a step, in float32, leaving nothing behind."""
        with _float32(value.device), left_alone(self._network):
            set_noise(self._network, self._seed, step)
            super().observe(step, lr, before, batch, value)

    def _measure(self, name: str, taken: Mapping[str, Any], seen: dict[Look, Any]) -> None:
        if name in self.unmeasured:
            return
        try:
            super()._measure(name, taken, seen)
        except Exception as error:  # of any kind: hours of training must not end by a probe
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            self._give_up(name, taken["step"], reason)
        else:
            if name not in self.blocks:
                self._give_up(name, taken["step"], "the network has nothing that it measures")

    def give_up(self, step: int, reason: str) -> None:
        """Measure nothing from a step on, and say why of every probe."""
        for name in self._functions:
            if name not in self.unmeasured:
                self._give_up(name, step, reason)

    def _give_up(self, name: str, step: int, reason: str) -> None:
        self.unmeasured[name] = f"not measured from step {step} on: {reason}"
        warnings.warn(f"{name}: {self.unmeasured[name]}", stacklevel=2)

    def _own_function(self, view: View, look: Look) -> View:
        if look.batch == "probe":
            return computed(replace(view, batch=view.probe_batch))
        found = computed(view)
        if look.mode == "train" and "noise_key" not in vars(self._network):
            self._compare(float(view.loss_value), float(found.loss_value), view.step)
        return found

    def _compare(self, loop: float, own: float, step: int) -> None:
        """Note, once, that the loop's loss is not that of the network, inputs and loss function."""
        if not self.notes and abs(loop - own) > _TOLERANCE * max(abs(loop), abs(own)):
            text = f"at step {step} the loop's loss was {loop:.4g}, but loss_fn on the network's "
            self.notes.append(text + f"outputs for the same inputs and targets is {own:.4g}")
            warnings.warn(self.notes[0], stacklevel=2)

    def _view(
        self,
        look: Look,
        rng: torch.Generator,
        memory: dict[str, Any],
        of_step: Mapping[str, Any],
    ) -> View:
        view = super()._view(look, rng, memory, of_step)
        return view if self._can_draw else replace(view, sample_batch=_no_samples)

    def _cadence(self, options: Mapping[str, Any], steps: int | None) -> Container[int]:
        if steps is not None:
            return cadence_steps(options, steps)
        every = options["every"]
        return _Either(frozenset(options["at"]), range(0, sys.maxsize if every else 0, every or 1))


class _Either(Container[int]):
    """The steps of a set and of an endless range."""

    def __init__(self, some: frozenset[int], endless: range) -> None:
        self._some, self._endless = some, endless

    def __contains__(self, step: object) -> bool:
        return step in self._some or step in self._endless


def _no_samples(size: int) -> Batch:
    raise ValueError(
        f"it draws {size} training samples; give Monitor(samples=(inputs, targets)) to draw from"
    )


@contextmanager
def _float32(device: torch.device) -> Iterator[None]:
    """Context manager for derivatives of any order in float32: no autocast, no fused attention."""
    with ExitStack() as states:
        states.enter_context(torch.inference_mode(False))
        states.enter_context(torch.enable_grad())
        states.enter_context(torch.autocast(device.type, enabled=False))
        states.enter_context(sdpa_kernel(SDPBackend.MATH))
        yield
