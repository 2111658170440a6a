"""Keys of random streams: one seed and some words give one integer, on every machine.

Streams with different words are independent, so what draws from one (the order of the data) never
shifts what draws from another (the initial weights): trials of one seed are paired.
"""

from __future__ import annotations

import hashlib
import json


def derive(seed: int, *words: str | int) -> int:
    """Return a key in [0, 2⁶³) for the stream that ``words`` name under ``seed``.

    It is the first 63 bits of blake2b over the JSON list ``[seed, *words]``, an encoding in which
    ``1``, ``"1"``, ``("a", "b")`` and ``("ab",)`` all differ.
    """
    text = json.dumps([seed, *words]).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1
