"""No malformed sweep file gives a traceback: each mistake gives one plain line with the file."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.spec.read import SpecError, read_sweep
from tests.helpers.parts import tiny_catalog as small_parts

GOOD = small_parts.QUICKSTART
LOOSE = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small_parts.install(monkeypatch, tmp_path)


def refused(folder: Path, content: bytes, *overrides: str) -> bool:
    """Read a sweep file; whatever else than plain lines is raised fails the test."""
    path = folder / "sweep.yaml"
    path.write_bytes(content)
    try:
        read_sweep(path, overrides)
    except SpecError as error:
        message = str(error)
    else:
        return False
    for line in message.splitlines():
        assert line.startswith((str(path), "… and "))
        assert line.isprintable()
    return True


HOSTILE = [
    *("", "null", "~", "true", "no", "-1", "0", "1e400", "-.inf", ".nan", "9" * 30, "1" * 5000),
    *(
        "[]",
        "{}",
        "[[[[]]]]",
        "[null]",
        "{a: 1}",
        "{name: 3}",
        "'",
        '"',
        "|",
        ">",
        "&a",
        "*a",
        "!x",
    ),
    *("!!python/name:os.system", "é", "\u202e\u2028", "'\\0'", '"\\0"', '"\\ud800"', "x" * 3000),
    *("{name: group, groups: -}", "? ", "- ", "%", "@", "`", "#", ": :", "<<", "2020-01-01", "\t"),
    *("1e308", "1_0", "0x10", "[1, 1.5, a, null]", "{<<: 3}", "{{}: 1}", "{1: 2}", "\x00", "\x85"),
]
VALUE_STARTS = (": ", "[", ", ", "- ")


def flip(rng: random.Random, content: bytes) -> bytes:
    where = rng.randrange(len(content))
    return content[:where] + bytes([content[where] ^ 1 << rng.randrange(8)]) + content[where + 1 :]


def cut(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randrange(len(content))]


def lines(change: Callable[[random.Random, list[bytes], int], object]) -> Callable[..., bytes]:
    def mutate(rng: random.Random, content: bytes) -> bytes:
        rows = content.splitlines(keepends=True)
        change(rng, rows, rng.randrange(len(rows)))
        return b"".join(rows)

    return mutate


def replace_value(rng: random.Random, content: bytes) -> bytes:
    text = content.decode(errors="replace")
    start = rng.choice(VALUE_STARTS)
    places = [i + len(start) for i in range(len(text)) if text.startswith(start, i)]
    begin = rng.choice(places or [0])
    end = min((i for i in range(begin, len(text)) if text[i] in ",]}\n"), default=begin)
    return (text[:begin] + rng.choice(HOSTILE) + text[end:]).encode()


def misspell(rng: random.Random, content: bytes) -> bytes:
    where = rng.choice([i for i, c in enumerate(content) if chr(c).isalpha()] or [0])
    kept = rng.randrange(3)
    letter = bytes([rng.randrange(97, 123)]) if kept else b""
    return content[:where] + letter + content[where + (kept != 2) :]


MUTATIONS = [
    flip,
    cut,
    lines(lambda rng, rows, i: rows.pop(i)),
    lines(lambda rng, rows, i: rows.insert(rng.randrange(len(rows)), rows[i])),
    lines(lambda rng, rows, i: rows.__setitem__(i, b" " * rng.randrange(1, 4) + rows[i])),
    lines(lambda rng, rows, i: rows.__setitem__(i, rows[i].lstrip())),
    lines(lambda rng, rows, i: rng.shuffle(rows)),
    replace_value,
    misspell,
]


def test_mutated_files_are_read_or_refused_in_one_line(tmp_path: Path) -> None:
    rng = random.Random(0)
    count = 0
    for round_ in range(100):
        for mutate in MUTATIONS:
            content = GOOD.encode()
            for _ in range(1 + round_ % 3):
                content = mutate(rng, content) if content else content
            count += refused(tmp_path, content)
    assert count >= 400


VOCABULARY = """
name description base grid exclude include seeds probes resources data architecture normalizer
training steps lr vgg11 digits batch group groups every at log landscape cpus training.lr
architecture.width probes.landscape.at training. . [0] <<
"""
WORDS = st.sampled_from(VOCABULARY.split())
SCALARS = (
    st.none() | st.booleans() | st.integers(-9, 99) | st.floats() | WORDS | st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
BRANCHES = [
    ("name",),
    ("description",),
    ("base",),
    ("base", "data"),
    ("base", "architecture"),
    ("base", "architecture", "width"),
    ("base", "normalizer"),
    ("base", "training"),
    ("base", "training", "betas"),
    ("base", "training", "milestones"),
    ("grid",),
    ("grid", "normalizer"),
    ("grid", "training.lr"),
    ("exclude",),
    ("include",),
    ("seeds",),
    ("probes",),
    ("probes", "landscape"),
    ("probes", "landscape", "at"),
    ("resources",),
    ("resources", "gpus"),
]


@LOOSE
@given(branch=st.sampled_from(BRANCHES), value=VALUES)
def test_any_value_anywhere_is_read_or_refused(tmp_path: Path, branch: Any, value: Any) -> None:
    data = yaml.safe_load(GOOD)
    node = data
    for step in branch[:-1]:
        node = node[step]
    node[branch[-1]] = value
    refused(tmp_path, yaml.safe_dump(data, allow_unicode=True).encode())


@LOOSE
@given(data=st.dictionaries(WORDS, VALUES, max_size=6) | VALUES)
def test_any_data_is_refused(tmp_path: Path, data: Any) -> None:
    assert refused(tmp_path, yaml.safe_dump(data, allow_unicode=True).encode())


@LOOSE
@given(
    content=st.binary(max_size=80) | st.text(max_size=80).map(lambda t: t.encode(errors="replace"))
)
def test_any_bytes_are_refused(tmp_path: Path, content: bytes) -> None:
    assert refused(tmp_path, content)


@LOOSE
@given(key=st.text(max_size=20) | WORDS, value=st.text(max_size=10))
def test_any_override_is_read_or_refused(tmp_path: Path, key: str, value: str) -> None:
    refused(tmp_path, GOOD.encode(), f"{key}={value}")
