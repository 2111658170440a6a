"""Two sweeps compared: what was set differently, and what changed with it."""

from analysis.against.compare import Against, against

__all__ = ["Against", "against"]
