from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

_IMAGE = {"svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>', "pdf": b"%PDF-1.4\n"}


def draw_nothing(patch: pytest.MonkeyPatch) -> None:
    """Make every figure of a report one line: for tests that are about something else."""

    def undrawn(todo: Sequence[object], jobs: int) -> Iterator[dict[str, bytes]]:
        return iter([_IMAGE] * len(todo))

    patch.setattr("analysis.render.write.draw_all", undrawn)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """`draw_nothing`, for one test."""
    draw_nothing(monkeypatch)


@pytest.fixture(scope="module")
def all_undrawn() -> Iterator[None]:
    """`draw_nothing`, for all tests of a file that ask for it in a fixture."""
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        yield
