"""Keep passwords and tokens out of what is printed, stored and tracked."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

_HIDDEN = "***"
_USER = re.compile(r"(?<=://)[^/\s@'\"]+(?=@)")
_QUERY = re.compile(
    r"([?&](?:[\w-]*(?:token|secret|password|signature|key)[\w-]*|sig)=)[^&\s'\"]+", re.IGNORECASE
)
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|ACCESS_KEY")
_SHORTEST = 6
"""Characters of an environment's secret below which a word of the text would be hit by chance."""


def redact(text: str) -> str:
    """Hide users and passwords in URIs, secrets in their queries, and the environment's secrets."""
    if "://" in text:
        text = _QUERY.sub(rf"\g<1>{_HIDDEN}", _USER.sub(_HIDDEN, text))
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _SECRET_NAME.search(name) and value in text:
            text = text.replace(value, _HIDDEN)
    return text


def redacted(value: Any) -> Any:
    """Redact every string of nested mappings and lists."""
    if isinstance(value, str):
        return redact(value) if "://" in value else value
    if isinstance(value, Mapping):
        return {key: redacted(inner) for key, inner in value.items()}
    return [redacted(inner) for inner in value] if isinstance(value, list) else value
