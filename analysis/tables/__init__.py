"""The report's tables: their definitions, columns, contrasts and outcomes."""

from analysis.tables import contrasts, definitions, tables, tuning_ranks
from analysis.tables.association_table import quantity
from analysis.tables.associations import HEADLINE, Kind, Verdict, relations_for, verdict
from analysis.tables.columns import FACTS, Column
from analysis.tables.contrasts import ALPHA, NO_CONTRAST, Contrast
from analysis.tables.headline import headline
from analysis.tables.outcomes import ROW, stable_lr
from analysis.tables.prediction_targets import SAID, Readings
from analysis.tables.tables import Measure, Table, TableInputs, build_tables, varying_in
from analysis.tables.variants import with_variants

__all__ = [
    "ALPHA",
    "FACTS",
    "HEADLINE",
    "NO_CONTRAST",
    "ROW",
    "SAID",
    "Column",
    "Contrast",
    "Kind",
    "Measure",
    "Readings",
    "Table",
    "TableInputs",
    "Verdict",
    "build_tables",
    "contrasts",
    "definitions",
    "headline",
    "quantity",
    "relations_for",
    "stable_lr",
    "tables",
    "tuning_ranks",
    "varying_in",
    "verdict",
    "with_variants",
]
