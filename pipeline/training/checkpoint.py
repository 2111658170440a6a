"""Where a long trial stands, saved now and then: a lost worker repeats minutes and not hours.

A checkpoint is what `torch.save` writes of plain data; nothing else in it would be read.
"""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pipeline.store import Store, StoreError

_DIGEST = hashlib.sha256().digest_size
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
            self.store.write_side_file(self.cell_id, "checkpoint.pt", data)
        except (StoreError, TypeError) as error:
            _LOG.warning("cell %s: no checkpoint: %s", self.cell_id, error)
        self.due_at = time.monotonic() + self.every

    def load(self, device: torch.device) -> Any | None:
        """The state that an earlier trial saved, if it fits; None, with a logged reason, if not."""
        data = self.store.read_side_file(self.cell_id, "checkpoint.pt")
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
    """Write nested mappings, lists, tuples, numbers, words and tensors, after their digest.

    torch computes no checksum of what it writes.

    Raises:
        TypeError: if there is anything else in it.
    """
    sink = io.BytesIO()
    torch.save(_plain(content), sink)
    data = sink.getvalue()
    return hashlib.sha256(data).digest() + data


def decode(data: bytes, device: torch.device) -> Any:
    """Read what `encode` wrote. Tensors go to the device, but those that were on the host.

    Raises:
        ValueError: if it is damaged, or has anything but data in it.
    """
    digest, whole = data[:_DIGEST], data[_DIGEST:]
    if hashlib.sha256(whole).digest() != digest:
        raise ValueError("damaged: its digest differs")

    def place(storage: Any, location: str) -> Any:
        return storage if location == "cpu" else storage.to(device=device)

    try:
        return torch.load(io.BytesIO(whole), map_location=place, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise ValueError(str(error).partition("\n")[0]) from None


def _plain(value: Any) -> Any:
    """The value in plain containers, its tensors without what they are views of."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {_plain(key): _plain(each) for key, each in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_plain(each) for each in value)
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be in a checkpoint")
