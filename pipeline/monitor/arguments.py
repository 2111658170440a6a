"""What a monitor is given, checked where it is given: a loop of hours must not end by a typo."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from pipeline.cli import kind_of, quoted
from pipeline.normalizers import Traits


def unwrapped(network: Any) -> nn.Module:
    """The user's own network within what data parallelism and torch.compile put around it.

    Raises:
        ValueError: if it is no network, or has nothing to train.
    """
    if not isinstance(network, nn.Module):
        raise ValueError(f"network: must be a torch.nn.Module, not a {type(network).__name__}")
    parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while True:
        inner = getattr(network, "_orig_mod", None)
        if isinstance(network, parallel):
            inner = network.module
        if not isinstance(inner, nn.Module):
            break
        network = inner
    every = list(network.parameters())
    if not every:
        raise ValueError("network: has no parameters, so nothing of it is trained")
    if any(isinstance(parameter, UninitializedParameter) for parameter in every):
        raise ValueError("network: has lazy modules; run it once on a batch before the monitor")
    return network


def ranks() -> tuple[int, int]:
    """This process's rank, and how many there are."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def refuse_shared_statistics(network: nn.Module, count: int) -> None:
    """Refuse a normalization that waits for other ranks.

    Raises:
        ValueError: if the network has one and there are several.
    """
    if count > 1 and any(isinstance(m, nn.SyncBatchNorm) for m in network.modules()):
        raise ValueError(
            "network: SyncBatchNorm waits for all ranks, and rank 0 measures alone; "
            "take BatchNorm, or measure in a run of one process"
        )


def check_options(loss_fn: Any, labels: Any, samples: Any, stages: Any, steps: Any) -> None:
    """Check a monitor's other arguments, as far as they can be before the first step.

    Raises:
        ValueError: for the first that is wrong.
    """
    if not callable(loss_fn):
        raise ValueError(
            f"loss_fn: must be a function of outputs and targets, not {kind_of(loss_fn)}"
        )
    if labels is not None and not isinstance(labels, Mapping):
        raise ValueError(f"labels: must be a mapping as {{'lr': 0.1}}, not {kind_of(labels)}")
    if stages is not None and (isinstance(stages, str) or not hasattr(stages, "__len__")):
        raise ValueError(f"stages: must be a list of modules or their paths, not {kind_of(stages)}")
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 1):
        raise ValueError(f"steps: must be a whole number from 1 on, not {quoted(steps)}")
    if samples is not None:
        _check_samples(samples)


def checked_traits(traits: Any) -> Traits:
    """The traits of a network's normalizers; those of most where none are given.

    Raises:
        ValueError: if they are something else.
    """
    if traits is not None and not isinstance(traits, Traits):
        raise ValueError(f"traits: must be normscope.Traits(...), not {kind_of(traits)}")
    return traits or Traits()


def _check_samples(samples: Any) -> None:
    pair = isinstance(samples, tuple | list) and len(samples) == 2
    if not pair or not all(isinstance(each, Tensor) for each in samples):
        raise ValueError(f"samples: must be two tensors, (inputs, targets), not {kind_of(samples)}")
    if not len(samples[0]) == len(samples[1]) > 0:
        sizes = f"{len(samples[0])} inputs and {len(samples[1])} targets"
        raise ValueError(f"samples: has {sizes}; must be one target for each input")


def check_tensors(inputs: Any, targets: Any) -> None:
    """Check what a step is given.

    Raises:
        ValueError: if one of both is no tensor.
    """
    for name, given in (("inputs", inputs), ("targets", targets)):
        if not isinstance(given, Tensor):
            raise ValueError(f"monitor.step: {name} must be one tensor, not {kind_of(given)}")


def check_first(network: nn.Module, inputs: Tensor, targets: Tensor) -> None:
    """Check the first step's batch, and that the network has something to train.

    Raises:
        ValueError: if it has not, or if the batch is empty.
    """
    for name, given in (("inputs", inputs), ("targets", targets)):
        if not given.ndim or not len(given):
            shape = f"a tensor of shape {tuple(given.shape)}"
            raise ValueError(f"monitor.step: {name} must be a batch, not {shape}")
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ValueError("monitor.step: all parameters of the network are frozen")


def check_loss(loss: Any) -> None:
    """Check a step's loss.

    Raises:
        ValueError: if it is no number.
    """
    if not isinstance(loss, Tensor | Real):
        raise ValueError(f"monitor.step: loss must be a number or a tensor, not {kind_of(loss)}")
    if isinstance(loss, Tensor) and loss.numel() != 1:
        raise ValueError(f"monitor.step: loss must be one number, not {loss.numel()}: its mean")
