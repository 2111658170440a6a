"""What stands in for parts of torchvision's networks that probes could not see into.

torchvision's attention hands its weights to a function, so that no weight layer is ever called;
these call theirs, with the same result. They are written out, since torch's fused attention has no
second derivative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad
from torchvision.models.swin_transformer import ShiftedWindowAttention, ShiftedWindowAttentionV2

from pipeline.architectures import Table


class ChannelsLast(nn.Module):
    """A module for (N, C) and (N, C, H, W), applied to channels that stand last.

    (N, ..., C) → (N, C, ...) → module → (N, ..., C). Tokens (N, T, C) become maps of T x 1 pixels.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: Tensor) -> Tensor:
        maps = inputs.movedim(-1, 1)
        if maps.ndim != 3:
            return self.module(maps).movedim(1, -1)
        return self.module(maps.unsqueeze(-1)).squeeze(-1).movedim(1, -1)


def _heads(tokens: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """(N, T, 3C) → queries, keys and values, each (N, heads, T, C/heads)."""
    q, k, v = tokens.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4).unbind()
    return q, k, v


def _joined(values: Tensor) -> Tensor:
    """(N, heads, T, C/heads) → (N, T, C)."""
    return values.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Attention among tokens by heads: softmax(QKᵀ/√d)·V, d = C/heads; (N, T, C) → (N, T, C).

    Source: Vaswani et al., NeurIPS 2017; in images, Dosovitskiy et al., ICLR 2021.
    """

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        channels = attention.embed_dim
        self.heads = attention.num_heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = _heads(self.qkv(tokens), self.heads)
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        return self.proj(_joined(scores.softmax(-1) @ v))


class AsMultihead(nn.Module):
    """`SelfAttention`, called as torch's `MultiheadAttention` is; tracing sees through it."""

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.attention = SelfAttention(attention)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, need_weights: bool
    ) -> tuple[Tensor, None]:
        del key, value, need_weights
        return self.attention(query), None


class Constant(nn.Module):
    """A tensor that is not learned, returned when called."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.register_buffer("value", value)

    def forward(self) -> Tensor:
        return self.get_buffer("value")


class PositionTable(nn.Module):
    """A learned bias for every offset between two pixels of a window: → (heads, T, T)."""

    def __init__(self, attention: ShiftedWindowAttention) -> None:
        super().__init__()
        self.register_buffer("index", attention.get_buffer("relative_position_index"))
        self.table = Table(attention.relative_position_bias_table, std=0.02)

    def forward(self) -> Tensor:
        return _by_pair(self.table(), self.get_buffer("index"))


class PositionNetwork(nn.Module):
    """16·sigmoid of two layers on the logarithmic offsets of a window's pixels: → (heads, T, T)."""

    def __init__(self, attention: ShiftedWindowAttentionV2) -> None:
        super().__init__()
        self.register_buffer("index", attention.get_buffer("relative_position_index"))
        self.register_buffer("offsets", attention.get_buffer("relative_coords_table"))
        self.linear1, _, self.linear2 = attention.cpb_mlp

    def forward(self) -> Tensor:
        values = self.linear2(self.linear1(self.get_buffer("offsets")).relu())
        return 16 * torch.sigmoid(_by_pair(values.flatten(0, -2), self.get_buffer("index")))


def _by_pair(table: Tensor, index: Tensor) -> Tensor:
    """Rows (offsets, heads), looked up for each of the T² pairs of pixels → (heads, T, T)."""
    side = math.isqrt(len(index))
    return table[index].unflatten(0, (side, side)).movedim(-1, 0)


class WindowAttention(nn.Module):
    """Attention within windows of a map, shifted in every second block: (N, H, W, C) → the same.

    softmax(s(Q, K) + B)·V, where B is learned by relative position and s(Q, K) = QKᵀ/√d. The second
    version takes cosines, s = min(exp τ, 100)·cos(Q, K) with a learned τ a head, and its keys have
    no bias. Maps are padded with zeros to whole windows.

    Source: Liu et al., ICCV 2021; the second version: Liu et al., CVPR 2022.
    """

    def __init__(self, attention: ShiftedWindowAttention) -> None:
        super().__init__()
        self.window, self.shift = attention.window_size, attention.shift_size
        self.heads = attention.num_heads
        self.qkv = attention.qkv
        second = isinstance(attention, ShiftedWindowAttentionV2)
        self.scale = Table(attention.logit_scale) if second else None
        self.position = PositionNetwork(attention) if second else PositionTable(attention)
        self.proj = attention.proj

    def forward(self, inputs: Tensor) -> Tensor:
        height, width = inputs.shape[1:3]
        down, right = (-side % w for side, w in zip((height, width), self.window, strict=True))
        padded = pad(inputs, (0, 0, 0, right, 0, down))
        size = padded.shape[1:3]
        pairs = zip(self.window, self.shift, size, strict=True)
        shift = [0 if window >= side else own for window, own, side in pairs]
        rolled = padded.roll([-step for step in shift], (1, 2)) if any(shift) else padded
        regions = _regions(size, self.window, shift, inputs.device) if any(shift) else None
        windows = self._attend(self._cut(rolled), regions)
        whole = self._joined(windows, size)
        return (whole.roll(shift, (1, 2)) if any(shift) else whole)[:, :height, :width]

    def _attend(self, windows: Tensor, regions: Tensor | None) -> Tensor:
        """Attend within windows (N·n, T, C), and there within regions (1, H, W, 1)."""
        q, k, v = _heads(self.qkv(windows), self.heads)
        scores = self._scores(q, k) + self.position()
        if regions is not None:
            region = self._cut(regions)
            apart = -100.0 * (region != region.transpose(1, 2))
            scores = (scores.unflatten(0, (-1, len(apart))) + apart.unsqueeze(1)).flatten(0, 1)
        return self.proj(_joined(scores.softmax(-1) @ v))

    def _scores(self, q: Tensor, k: Tensor) -> Tensor:
        if self.scale is None:
            return q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        if self.qkv.bias is not None:
            k = k - self.qkv.bias.chunk(3)[1].view(self.heads, 1, -1)
        cosines = normalize(q, dim=-1) @ normalize(k, dim=-1).transpose(-2, -1)
        return cosines * self.scale().clamp(max=math.log(100.0)).exp()

    def _cut(self, maps: Tensor) -> Tensor:
        """(N, H, W, C) → windows (N·n, T, C)."""
        rows, columns = self.window
        cells = maps.unflatten(2, (-1, columns)).unflatten(1, (-1, rows))
        return cells.transpose(2, 3).flatten(3, 4).flatten(0, 2)

    def _joined(self, windows: Tensor, size: Sequence[int]) -> Tensor:
        """Windows (N·n, T, C) → (N, H, W, C)."""
        rows, columns = (side // window for side, window in zip(size, self.window, strict=True))
        cells = windows.unflatten(1, tuple(self.window)).unflatten(0, (-1, rows, columns))
        return cells.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def _regions(
    size: Sequence[int], window: Sequence[int], shift: Sequence[int], device: torch.device
) -> Tensor:
    """Number the regions of a rolled map that were neighbours before: (1, H, W, 1)."""
    parts = []
    for side, cell, step in zip(size, window, shift, strict=True):
        place = torch.arange(side, device=device)
        parts.append((place >= side - cell).long() + (place >= side - step))
    return (3 * parts[0].unsqueeze(1) + parts[1])[None, :, :, None].float()
