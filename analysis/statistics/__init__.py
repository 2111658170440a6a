"""Estimates, intervals and tests: arrays in, numbers out."""

from analysis.statistics import estimates, rank_correlation, regression
from analysis.statistics.bands import band
from analysis.statistics.estimates import Estimate, weighted
from analysis.statistics.rank_correlation import ALPHA, Psi
from analysis.statistics.simultaneous import LEAST_FREE, simultaneous

__all__ = [
    "ALPHA",
    "LEAST_FREE",
    "Estimate",
    "Psi",
    "band",
    "estimates",
    "rank_correlation",
    "regression",
    "simultaneous",
    "weighted",
]
