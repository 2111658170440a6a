"""Time and memory of a normalizer's step, beside those of torch's batch normalization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.utils import parametrize

from pipeline.normalizers import Normalizer, Traits
from pipeline.probes._view import set_noise
from pipeline.training.metering import synchronized_time

PEER = Normalizer(features=nn.BatchNorm2d, traits=Traits(bias_free=True))
What = Literal["alone", "block"]


@dataclass
class Cost:
    """Of a normalizer, and of its peer timed just before it."""

    memory: int
    """Bytes of a step without the convolution."""
    own: dict[What, list[float]] = field(default_factory=lambda: {"alone": [], "block": []})
    """Seconds of a step without the convolution and with it, one a round."""
    peer: dict[What, list[float]] = field(default_factory=lambda: {"alone": [], "block": []})

    def ratio(self, what: What) -> float:
        """Its least time over its peer's: of all, those that other work disturbed least."""
        return min(self.own[what]) / min(self.peer[what])


class Block(nn.Module):
    """A convolution and all that a normalizer puts around it, in training mode."""

    def __init__(self, norm: Normalizer, channels: int) -> None:
        super().__init__()
        bias = not norm.traits.bias_free
        self.layer = norm.weight(nn.Conv2d(channels, channels, 3, padding=1, bias=bias))
        self.after = nn.Sequential(
            norm.features(channels), norm.residual(), norm.activation(channels)
        )

    def step(self, what: What, maps: Tensor, above: Tensor) -> None:
        """Forward on maps, and backward from the gradient that comes from above."""
        self.zero_grad(set_to_none=True)
        leaf = maps.detach().requires_grad_()
        if what == "block":
            self.after(self.layer(leaf)).backward(above)
            return
        ends, gradients = [self.after(leaf)], [above]
        if parametrize.is_parametrized(self.layer, "weight"):
            weight = cast(Tensor, self.layer.weight)  # computed, with its graph
            ends.append(weight)
            gradients.append(torch.ones_like(weight))
        torch.autograd.backward(ends, gradients)


def costs(normalizers: Mapping[str, Normalizer], maps: Tensor, rounds: int) -> dict[str, Cost]:
    """Measure all of them, round after round, each directly after its peer.

    Args:
        normalizers: by name.
        maps: (N, C, H, W), standard normal; their device is measured.
        rounds: timed steps of each, after two that are not.
    """
    blocks = {name: _block(norm, maps) for name, norm in normalizers.items()}
    reference, above = _block(PEER, maps), torch.randn_like(maps)
    for block in (reference, *blocks.values()):
        for what in ("alone", "block", "alone", "block"):
            block.step(what, maps, above)
    found = {name: Cost(_memory(block, maps, above)) for name, block in blocks.items()}
    for _ in range(rounds):
        for name, cost in found.items():
            for what in ("alone", "block"):
                cost.peer[what].append(_seconds(reference, what, maps, above))
                cost.own[what].append(_seconds(blocks[name], what, maps, above))
    return found


def memory_of_peer(maps: Tensor) -> int:
    """Bytes of the peer's step without the convolution."""
    return _memory(_block(PEER, maps), maps, torch.randn_like(maps))


def _block(norm: Normalizer, maps: Tensor) -> Block:
    block = Block(norm, maps.shape[1]).to(maps.device)
    set_noise(block, 0, 0)
    return block.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _seconds(block: Block, what: What, maps: Tensor, above: Tensor) -> float:
    start = synchronized_time(maps.device)
    block.step(what, maps, above)
    return synchronized_time(maps.device) - start


def _memory(block: Block, maps: Tensor, above: Tensor) -> int:
    """On a GPU the peak of a step above what was there before; else what is kept for backward."""
    if maps.is_cuda:
        block.zero_grad(set_to_none=True)
        before = torch.cuda.memory_allocated(maps.device)
        torch.cuda.reset_peak_memory_stats(maps.device)
        block.step("alone", maps, above)
        return torch.cuda.max_memory_allocated(maps.device) - before
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()  # the graph holds it, so no other takes its place
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        block.step("alone", maps, above)
    return sum(kept.values())
