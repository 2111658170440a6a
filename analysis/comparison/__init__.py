"""Two sweeps compared: what was set differently, and what changed with it."""

from analysis.comparison.compare import Against, against

__all__ = ["Against", "against"]
