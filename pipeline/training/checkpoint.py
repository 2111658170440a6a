"""Where a long trial stands, saved now and then: a lost worker repeats minutes and not hours.

A checkpoint is a NumPy archive: one JSON text (numbers, words, lists, mappings) and the tensors
that it refers to, as bytes. Nothing in it is code: it is read without pickle.
"""

from __future__ import annotations

import io
import json
import logging
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.store.store import Store, StoreError

_TENSOR, _MAPPING, _TUPLE = "tensor", "mapping", "tuple"
_DAMAGE = (OSError, EOFError, KeyError, TypeError, AttributeError, RuntimeError)
_LOG = logging.getLogger(__name__)


@dataclass
class Checkpoints:
    """The checkpoint of one cell in a store."""

    store: Store
    cell_id: str
    every: float
    """Seconds between two."""
    fits: Mapping[str, Any]
    """What must be as it was for a trial to go on from one: machine, versions, commit."""
    due_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.due_at = time.monotonic() + self.every

    def due(self) -> bool:
        """Whether it is time for the next; costs a look at the clock."""
        return time.monotonic() >= self.due_at

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the cell's checkpoint. One that cannot be written is logged: training goes on."""
        try:
            data = encode({"fits": dict(self.fits), "state": state})
            self.store.write_side_file(self.cell_id, "checkpoint.npz", data)
        except (StoreError, TypeError) as error:
            _LOG.warning("cell %s: no checkpoint: %s", self.cell_id, error)
        self.due_at = time.monotonic() + self.every

    def load(self, device: torch.device) -> Any | None:
        """The state that an earlier trial saved, if it fits; None, with a logged reason, if not."""
        data = self.store.read_side_file(self.cell_id, "checkpoint.npz")
        if data is None:
            return None
        try:
            saved = decode(data, device)
            if saved["fits"] != self.fits:
                raise ValueError(f"made by {saved['fits']}, not by {dict(self.fits)}")
        except (ValueError, KeyError, TypeError) as error:
            _LOG.warning("cell %s: its checkpoint is ignored: %s", self.cell_id, error)
            return None
        return saved["state"]


def encode(content: Mapping[str, Any]) -> bytes:
    """Write nested mappings, lists, tuples, numbers, words and tensors into one archive.

    Raises:
        TypeError: if there is anything else in it.
    """
    arrays: dict[str, np.ndarray] = {}
    tree = json.dumps(_packed(content, arrays))
    sink = io.BytesIO()
    np.savez(sink, allow_pickle=False, tree=np.frombuffer(tree.encode(), np.uint8), **arrays)
    return sink.getvalue()


def decode(data: bytes, device: torch.device) -> Any:
    """Read what `encode` wrote, its tensors onto a device.

    Raises:
        ValueError: if it is damaged (the archive has a checksum for each of its members).
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return _unpacked(json.loads(arrays["tree"].tobytes()), arrays, device)
    except (*_DAMAGE, zipfile.BadZipFile) as error:
        raise ValueError(f"damaged: {error}") from None


def _packed(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The value as JSON has it, its tensors moved to the arrays."""
    if isinstance(value, Tensor):
        return {_TENSOR: _stored(value, arrays)}
    if isinstance(value, Mapping):
        return {_MAPPING: [[_packed(k, arrays), _packed(v, arrays)] for k, v in value.items()]}
    if type(value) is tuple:
        return {_TUPLE: [_packed(each, arrays) for each in value]}
    if type(value) is list:
        return [_packed(each, arrays) for each in value]
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be in a checkpoint")


def _stored(tensor: Tensor, arrays: dict[str, np.ndarray]) -> list[Any]:
    """A tensor's name, type, shape, order in memory (on which last bits may depend) and side."""
    last = tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    plain = tensor.detach().permute(0, 2, 3, 1) if last else tensor.detach()
    name = f"t{len(arrays)}"
    arrays[name] = plain.contiguous().cpu().reshape(-1).view(torch.uint8).numpy()
    return [name, str(tensor.dtype).removeprefix("torch."), list(plain.shape), last, tensor.is_cpu]


def _unpacked(value: Any, arrays: Mapping[str, np.ndarray], device: torch.device) -> Any:
    if isinstance(value, list):
        return [_unpacked(each, arrays, device) for each in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == _TENSOR:
        return _restored(content, arrays, device)
    if kind == _TUPLE:
        return tuple(_unpacked(each, arrays, device) for each in content)
    pairs = ((_unpacked(k, arrays, device), _unpacked(v, arrays, device)) for k, v in content)
    return dict(pairs)


def _restored(stored: list[Any], arrays: Mapping[str, np.ndarray], device: torch.device) -> Tensor:
    name, dtype, shape, last, on_host = stored
    bits = torch.from_numpy(arrays[name].copy())
    kind = getattr(torch, dtype)
    flat = bits.view(kind) if len(bits) else torch.empty(0, dtype=kind)
    tensor = flat.reshape(shape) if on_host else flat.reshape(shape).to(device)
    return tensor.permute(0, 3, 1, 2) if last else tensor
