"""What every probe is given, and the guard that lets it leave no trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pipeline.architectures import Network
from pipeline.data import Batch
from pipeline.normalizers import Traits
from pipeline.probes._vectors import Params, as_leaves
from pipeline.seeds import derive

Records = Mapping[str, Tensor | Sequence[Any]]
"""Columns of equal length. Scalars stay on the device: the loop moves a whole column at once."""

Mode = Literal["train", "eval"]


@dataclass(frozen=True, kw_only=True)
class View:
    """One optimizer step, θ_t → θ_{t+1}, as a probe sees it."""

    network: Network
    step: int
    """t, counted from 0."""
    lr: float
    """The learning rate of this step."""
    initial: Params
    before: Params
    after: Params
    """Parameters θ_0, θ_t and θ_{t+1}; detached copies."""
    initial_buffers: Params
    """Buffers of the function at θ_0 in this mode: as step 0 left them, or, in ``eval``, as an
    evaluation after it takes them. ``initial | initial_buffers`` is the whole network of then."""
    grad: Params
    """∇L(θ_t) on ``batch``: as the step used it, without weight decay, or, where the probe asks for
    another mode or batch, or the step was not in float32, computed anew."""
    loss_value: Tensor
    """L(θ_t) on ``batch``, a scalar."""
    batch: Batch
    """The step's own batch; the probe batch if the probe's setting ``batch`` says so."""
    probe_batch: Batch
    """One batch fixed for all steps, all cells and all seeds of a dataset."""
    second_probe_batch: Batch | None
    """As large and as fixed, of other training samples; None where the split has not so many."""
    sample_batch: Callable[[int], Batch]
    """So many training samples drawn by ``rng`` without replacement, augmented as ``batch`` is."""
    traits: Traits
    """The normalizer's. Where ``true_gradient`` is False, backward is not the gradient of forward,
    and what is made of second derivatives is null."""
    mode: Mode = "train"
    """Of the function seen; in ``eval``: no noise, and the statistics of an evaluation, which are
    those that this step left."""
    seed: int
    rng: torch.Generator
    """The probe's own generator, made anew from (seed, probe, step). It is on the host, whatever
    the device: draw there and `transfer.send`, so that every device sees the same numbers."""
    memory: dict[str, Any] = field(default_factory=dict)
    """What this probe wants to find again at its next step of the same cell."""
    shared: dict[str, Any] = field(default_factory=dict)
    """What probes of this step that see the same function on the same batch leave each other."""

    def loss(self, params: Params, batch: Batch) -> Tensor:
        """The pure loss: in training mode batch statistics, this step's noise, no buffer moves."""
        outputs = functional_call(self.network, params, (batch.inputs,))
        return self.network.objective(outputs, batch.targets)

    def value_and_gradient(self, params: Params, batch: Batch) -> tuple[Tensor, Params]:
        """L and ∇L with respect to all of ``params``, detached: one forward and one backward."""
        at = as_leaves(params)
        loss = self.loss(at, batch)
        gradient = torch.autograd.grad(loss, list(at.values()), materialize_grads=True)
        return loss.detach(), dict(zip(at, gradient, strict=True))

    @contextmanager
    def noise_of(self, step: int) -> Iterator[None]:
        """Within it, normalizers that draw noise draw that of ``step``."""
        set_noise(self.network, self.seed, step)
        try:
            yield
        finally:
            set_noise(self.network, self.seed, self.step)


def set_noise(network: nn.Module, seed: int, step: int) -> None:
    """Key every module that draws noise in its forward to (seed, its place, step)."""
    for name, module in network.named_modules():
        if hasattr(module, "noise_key"):
            vars(module)["noise_key"] = derive(seed, "noise", name, step)


@contextmanager
def preserve_state(network: nn.Module, mode: Mode = "train") -> Iterator[None]:
    """Within it, nothing that the training loop can see may change.

    Running statistics stand still (in training mode, batch statistics are still used), every module
    is in ``mode``, the global generators of all devices return to where they were, and TF32 is off.
    """
    tracking: list[Any] = [m for m in network.modules() if getattr(m, "track_running_stats", False)]
    modes = {module: module.training for module in network.modules()}
    matmul, convolution = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    for module in tracking:
        module.track_running_stats = False
    network.train(mode == "train")
    try:
        # Where CUDA has not begun there is nothing to save, and asking would begin it.
        devices = torch.cuda.device_count() if torch.cuda.is_initialized() else 0
        with torch.random.fork_rng(range(devices)):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = matmul
        torch.backends.cudnn.allow_tf32 = convolution
        for module in tracking:
            module.track_running_stats = True
        for module, training in modes.items():
            module.training = training
