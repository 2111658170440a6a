"""What a trial prints, warns of and logs, kept with its cell: bounded, and without secrets."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any, TextIO

from pipeline.cli import printable, redact
from pipeline.store import Store, StoreError

_HEAD, _TAIL = 32_768, 32_768
"""Characters kept from the beginning and from the end."""


class CellLog:
    """The first and the last characters of what was written to it; safe among threads."""

    def __init__(self) -> None:
        self._head: list[str] = []
        self._room = _HEAD
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._written = 0
        self._lock = threading.Lock()

    def write(self, text: str) -> None:
        """Add some text."""
        with self._lock:
            self._written += len(text)
            self._head.append(text[: self._room])
            self._tail.extend(text[self._room :][-_TAIL:])
            self._room = max(0, self._room - len(text))

    def text(self) -> str:
        """All of it, or its beginning and end and how much is left out between them."""
        with self._lock:
            head, tail = "".join(self._head), "".join(self._tail)
            left_out = self._written - len(head) - len(tail)
        between = f"\n… {left_out} characters left out …\n" if left_out else ""
        return head + between + tail

    def save(self, store: Store, cell_id: str) -> None:
        """Write it beside the cell's result, if there is anything; a full store is no reason to
        fail a trial."""
        if text := redact(self.text()):
            with suppress(StoreError):
                store.write_side_file(cell_id, "log.txt", text.encode(errors="replace"))


@contextmanager
def captured() -> Iterator[CellLog]:
    """Within it, what goes to the standard streams and to the root logger is kept as well."""
    log = CellLog()
    handler = logging.StreamHandler(_Tee(log, None))
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    out, error = _Tee(log, sys.stdout), _Tee(log, sys.stderr)
    logging.getLogger().addHandler(handler)
    try:
        # Entering catch_warnings forgets which warnings this process has shown for earlier cells.
        with warnings.catch_warnings(), redirect_stdout(out), redirect_stderr(error):
            yield log
    finally:
        logging.getLogger().removeHandler(handler)


class _Tee:
    """A text stream that keeps what it passes on."""

    def __init__(self, log: CellLog, stream: TextIO | None) -> None:
        self._log, self._stream = log, stream

    def write(self, text: str) -> int:
        self._log.write(text)
        if self._stream is None:
            return len(text)
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        self._stream.write(printable(text, encoding))  # no trial fails for want of a character
        return len(text)

    def flush(self) -> None:
        if self._stream is not None:
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
