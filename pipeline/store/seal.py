"""A digest within a JSON file, of all else in it: whether it still is as a trial has written it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pipeline.cli import redacted

_KEY = "sha256"


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content as it is written, without secrets, with the digest of all its values."""
    public = redacted(content)
    return {**public, _KEY: _digest(public)}


def is_altered(content: Mapping[str, Any]) -> bool:
    """Whether a file has a digest that is not that of its other values.

    Results that were written before there were such digests have none: nothing is known of them.
    """
    return _KEY in content and content[_KEY] != _digest(content)


def _digest(content: Mapping[str, Any]) -> str:
    """Of the values, not of their layout: JSON gives every float back as it was."""
    values = {key: value for key, value in content.items() if key != _KEY}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
