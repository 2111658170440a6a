"""Which cases of a long parametrized test `make test` leaves to `make test-all`."""

import re

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark a case of a `sampled` test as slow, unless its id has one of the marker's words."""
    for item in items:
        if marker := item.get_closest_marker("sampled"):
            case = item.name.partition("[")[2]
            if not any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", case) for word in marker.args):
                item.add_marker(pytest.mark.slow)
