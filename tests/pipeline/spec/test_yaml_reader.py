from __future__ import annotations

import math
import pickle
from pathlib import Path

import pytest
import yaml

from pipeline.cli.mistakes import SpecError
from pipeline.spec import yaml_reader as yaml_file
from pipeline.spec.yaml_reader import parse, read_yaml

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1", 1),
        ("-0.5", -0.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        (".inf", math.inf),
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("off", "off"),
        ("010", "010"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("12:30:00", "12:30:00"),
        ("2020-01-01", "2020-01-01"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("=", "="),
    ],
)
def test_scalars_are_yaml_1_2_in_decimal(text: str, value: object) -> None:
    data, _ = parse(f"key: {text}", "file")
    assert data == {"key": value}
    assert type(data["key"]) is type(value)


def test_every_key_path_has_its_line() -> None:
    text = "a: 1\nb:\n  c.d:\n    - x\n    - {e: 2,\n       f: 3}\n"
    data, lines = parse(text, "file")
    assert data == {"a": 1, "b": {"c.d": ["x", {"e": 2, "f": 3}]}}
    assert lines == {
        "": 1,
        "a": 1,
        "b": 2,
        "b.c.d": 3,
        "b.c.d[0]": 4,
        "b.c.d[1]": 5,
        "b.c.d[1].e": 5,
        "b.c.d[1].f": 6,
    }


def test_anchors_aliases_and_merge_keys_work() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [{x: 4}, *a], z: 5}\nd: *a\n"
    data, _ = parse(text, "file")
    assert data["b"] == {"x": 1, "y": 3}
    assert data["c"] == {"x": 4, "y": 2, "z": 5}
    assert data["d"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "file: is empty; write the settings as YAML"),
        ("# nothing\n", "file: is empty; write the settings as YAML"),
        ("a: 1\nb: 2\na: 3", "file:3: a: given twice, first on line 1; keep one"),
        (
            "a:\n  - {b: 1, b: 2}",
            "file:2: a[0].b: given twice, first on line 2; keep one",
        ),
        (
            "a: !!python/object/apply:os.system [ls]",
            "file:1: a: the tag !!python/object/apply:os.system is not allowed; remove it",
        ),
        ("a: !x 1", "file:1: a: the tag !x is not allowed; remove it"),
        ("a: 1\n---\nb: 2", "file:2: a second document starts here; keep one to a file"),
        ("a:\n  1: 2", "file:2: a: the key 1 is no word; keys are words"),
        ("true: 2", "file:1: the key true is no word; keys are words"),
        ("? [a]\n: 2", "file:1: a list or a mapping is no key; keys are words"),
        ("a: &x b\n*x : 1", "file:2: an alias or a tag is no key; keys are words"),
        ("a: *x", "file:1: a: the alias *x has no anchor before it"),
        ("a: &x [*x]", "file:1: a[0]: the alias *x contains itself"),
        ("a: &x\n  b: {c: *x}", "file:2: a.b.c: the alias *x contains itself"),
        ("<<: 3", "file:1: <<: << takes a mapping or a list of mappings"),
        ("a: 1\nb: 'x\0'", "file:2: the character U+0000 is not allowed; remove it"),
        ('a: "\\x07"', "file:1: a: the character U+0007 is not allowed; remove it"),
        (
            "a:\n  " + "9" * 5000,
            "file:2: a: an integer of more than 18 characters is too large",
        ),
    ],
)
def test_what_is_refused_and_how(text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(text, "file")
    assert str(caught.value) == message


@pytest.mark.parametrize("parser", ["CSafeLoader", "SafeLoader"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "file:6: f[1]: more than 250000 values, aliases written out"),
        ("[" * 50_000, "file:1: " + "[0]" * 21 + ": nested deeper than 20 levels"),
        ("{a: " * 5000, "file:1: a" + ".a" * 20),
        ("a: [1,\nb: ]]", "file:2: is not valid YAML"),
        ("a: 'x", "file:1: is not valid YAML: found unexpected end of stream"),
        ("\ta: 1", "file:1: is not valid YAML: found character"),
        ("%YAML 3.0\n---\na: 1", "file:1: is not valid YAML: found incompatible"),
    ],
)
def test_both_parsers_refuse_alike(
    monkeypatch: pytest.MonkeyPatch, parser: str, text: str, message: str
) -> None:
    monkeypatch.setattr(yaml_file, "_PARSER", getattr(yaml, parser))
    with pytest.raises(SpecError) as caught:
        parse(text, "file")
    assert str(caught.value).startswith(message)
    assert len(str(caught.value).splitlines()) == 1


def test_a_deep_alias_counts_with_its_own_depth() -> None:
    nested = "".join(f"a{i + 1}: &a{i + 1} [*a{i}]\n" for i in range(30))
    with pytest.raises(SpecError, match="nested deeper than 20 levels"):
        parse(f"a0: &a0 [x]\n{nested}", "file")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: 1\nb: \xff\n", ":2: the byte 0xff is not UTF-8; save the file as UTF-8"),
        ("a: 1".encode("utf-16"), ":1: the byte 0xff is not UTF-8; save the file as UTF-8"),
        (b"#" * (2**20 + 1), ": is larger than 1 MiB; a sweep file is a page of YAML"),
    ],
)
def test_unreadable_contents(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        read_yaml(path)
    assert str(caught.value) == f"{path}{message}"


def test_a_byte_order_mark_and_other_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert read_yaml(path) == ({"a": 1, "b": 2}, {"": 1, "a": 1, "b": 2})


def test_a_missing_file_names_the_nearest_one_there(tmp_path: Path) -> None:
    (tmp_path / "quickstart.yaml").write_text("a: 1")
    with pytest.raises(SpecError) as caught:
        read_yaml(tmp_path / "quikstart.yaml")
    assert "no such file; did you mean" in str(caught.value)
    assert "/quickstart.yaml'" in str(caught.value)


def test_a_directory_and_an_impossible_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read: Is a directory"):
        read_yaml(tmp_path)
    with pytest.raises(SpecError, match="cannot be read"):
        read_yaml("a\0b")


def test_an_error_is_one_printable_line_and_survives_pickling() -> None:
    error = SpecError("is \ud800 and \u2028 \n wrong", "a.b", "file:3")
    assert str(error) == "file:3: a.b: is \\ud800 and \\u2028 \\n wrong"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
