from __future__ import annotations

from tests.analysis import freeze


def test_the_frozen_store_gives_the_golden_report(undrawn: None) -> None:
    golden = {
        path.relative_to(freeze.EXPECTED).as_posix(): path.read_bytes()
        for path in sorted(freeze.EXPECTED.rglob("*"))
        if path.is_file()
    }
    found = freeze.report(freeze.STORE)
    assert len(golden) == 7
    assert set(found) == set(golden)
    for name, content in golden.items():
        assert found[name].decode() == content.decode(), name
