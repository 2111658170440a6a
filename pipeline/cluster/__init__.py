"""A Ray cluster as the target of a sweep, and the check of its file."""

from pipeline.cluster.job import run_on_cluster

__all__ = ["run_on_cluster"]
