"""The headline columns are measures that there are."""

from analysis import metrics
from analysis.metrics.metric import Measure, Probed
from analysis.tables import association_table, associations
from analysis.tables.headline import HEADLINE, MOST, headline


def declared() -> set[str]:
    values = [getattr(metrics, name) for name in metrics.__all__ if name.isupper()]
    lists = [value if isinstance(value, list | tuple) else [value] for value in values]
    items = [item for one in lists for item in one] + association_table.MEASURES
    measures = [item.measure if isinstance(item, Probed) else item for item in items]
    return {measure.key for measure in measures if isinstance(measure, Measure)}


def test_every_headline_name_is_a_measure() -> None:
    names = {name for own in HEADLINE.values() for name in own} | set(associations.HEADLINE)
    assert names
    assert names <= declared()


def test_headline_columns_come_first_and_others_fill_up() -> None:
    keys = ["a", *HEADLINE["table1_ics"], "b"]
    assert headline("table1_ics", keys) == [1, 2, 3, 4, 5, 6]
    assert headline("table1_ics", ["a", "b", HEADLINE["table1_ics"][0], "c", "d"]) == [0, 1, 2, 3]
    assert len(headline("another", list("abcdefgh"))) == MOST
