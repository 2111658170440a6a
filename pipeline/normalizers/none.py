"""No normalizer: what all the others are compared with."""

from __future__ import annotations

from pipeline.normalizers import Normalizer


def none() -> Normalizer:
    """No normalization: weight layers keep their biases, and features pass as they are."""
    return Normalizer()
