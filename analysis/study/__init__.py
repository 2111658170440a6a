"""The loaded runs of one or more sweeps, and the order of their labels."""

from analysis.study import concat, label_order, setting_values
from analysis.study.label_order import names
from analysis.study.labels import Labels, labelled, swept_options, variant_label
from analysis.study.study import LABELS, RECORDS, Study

__all__ = [
    "LABELS",
    "RECORDS",
    "Labels",
    "Study",
    "concat",
    "label_order",
    "labelled",
    "names",
    "setting_values",
    "swept_options",
    "variant_label",
]
