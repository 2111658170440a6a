"""Bytes under a line of JSON that says what they are, and by whose digest they are known whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def sealed(said: Mapping[str, Any], content: bytes) -> bytes:
    """A line of JSON, with the content's sha256 added, and the content."""
    head = {**said, "sha256": hashlib.sha256(content).hexdigest()}
    return json.dumps(head).encode() + b"\n" + content


def said(data: bytes) -> dict[str, Any]:
    """What the line says; the content is not looked at.

    Raises:
        ValueError: if there is no such line.
    """
    found = json.loads(data[: data.index(b"\n")])
    if not isinstance(found, dict):
        raise ValueError("damaged")
    return found


def content(data: bytes, head: Mapping[str, Any]) -> memoryview:
    """The content below the line, whose words ``head`` are.

    Raises:
        ValueError: if it is not the content that was sealed.
    """
    found = memoryview(data)[data.index(b"\n") + 1 :]
    if hashlib.sha256(found).hexdigest() != head["sha256"]:
        raise ValueError("damaged")
    return found
