from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.catalog import POSITIONAL, Option
from pipeline.catalog import registry as catalog
from pipeline.catalog.validation import Cadence
from pipeline.spec.read import SpecError
from tests.helpers.parts import tiny_catalog as small_parts


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    small_parts.install(monkeypatch, tmp_path)
    return tmp_path


def test_parts_are_the_public_functions_of_a_folder(small: Path) -> None:
    (small / "normalizers" / "_private.py").write_text("def hidden(): pass")
    (small / "normalizers" / "more.py").write_text(
        'class Public: pass\ndef _helper(x): pass\ndef rms():\n    """RMS.\n\n    More."""\n'
    )
    found = catalog.parts("normalizers")
    assert list(found) == ["batch", "group", "none", "rms", "weight_standardization"]
    assert found["rms"].summary == "RMS."
    assert found["rms"].module == f"{small.name}.normalizers.more"
    assert found["group"].options["eps"] == Option("eps", "float", 1e-5, False, False)


def test_a_location_is_known_as_one(small: Path) -> None:
    options = catalog.parts("data")["parquet"].options
    assert {name: option.location for name, option in options.items()} == {
        "path": True,
        "cache": True,
        "limit": False,
    }
    assert options["path"].required


def test_resolve_fills_in_every_default_with_the_type_asked_for(small: Path) -> None:
    resolved = catalog.resolve("architectures", "vgg11", "x")
    assert resolved == {"name": "vgg11", "width": 1.0}
    assert isinstance(resolved["width"], float)
    config = {"name": "resnet20", "width": 2}
    assert repr(catalog.resolve("architectures", config, "x")["width"]) == "2.0"
    assert catalog.resolve("probes", {"name": "landscape", "every": 5}, "x") == {
        "name": "landscape",
        "every": 5,
        "at": [],
        "log": None,
        "mode": "train",
        "batch": "step",
        "batch_size": None,
        "lengths": 8,
        "ranges": ["lr"],
        "span": [0.5, 4.0],
    }


def test_a_partial_configuration_keeps_what_is_given(small: Path) -> None:
    pattern = catalog.resolve("data", {"name": "parquet", "limit": 3}, "x", partial=True)
    assert pattern == {"name": "parquet", "limit": 3}


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        ("architectures", "vgg12", "w: no architecture 'vgg12'; did you mean 'vgg11'? known: "),
        ("data", {"name": "digit"}, "w.name: no dataset 'digit'; did you mean 'digits'?"),
        ("data", {"name": ["digits"]}, "w.name: must be the name of a part"),
        ("data", {"path": "x"}, "w: must be a name or {name: ..., option: ...}"),
        ("data", None, "w: must be a name or {name: ..., option: ...}, not null"),
        ("data", 3, "w: must be a name or {name: ..., option: ...}, not 3"),
        ("data", "parquet", "w.path: is missing; it has no default, so give it a value"),
        ("data", {"name": "parquet", "path": 3}, "w.path: must be a string, not 3"),
        (
            "normalizers",
            {"name": "group", "group": 3},
            "w.group: group has no option 'group'; did you mean 'groups'? known: affine, ",
        ),
        ("normalizers", {"name": "group", "groups": 3.0}, "w.groups: must be an integer, not 3.0"),
        (
            "normalizers",
            {"name": "group", "groups": True},
            "w.groups: must be an integer, not true",
        ),
        ("normalizers", {"name": "group", "eps": True}, "w.eps: must be a number, not true"),
        ("normalizers", {"name": "group", "eps": "1"}, "w.eps: must be a number, not '1'"),
        ("normalizers", {"name": "group", "eps": float("nan")}, "w.eps: must be a finite number"),
        ("normalizers", {"name": "group", "eps": float("inf")}, "w.eps: must be a finite number"),
        ("normalizers", {"name": "group", "affine": 1}, "w.affine: must be true or false, not 1"),
        (
            "probes",
            {"name": "landscape", "every": 1, "ranges": ["lr", "comon"]},
            "w.ranges[1]: must be 'lr' or 'common', not 'comon'; did you mean 'common'?",
        ),
        ("probes", {"name": "landscape", "every": 1, "ranges": "lr"}, "w.ranges: must be a list"),
        ("probes", {"name": "landscape"}, "w: does not say when to measure"),
        ("probes", {"name": "landscape", "evry": 1}, "w.evry: landscape has no option 'evry'; did"),
    ],
)
def test_what_is_refused_and_how(small: Path, kind: str, config: object, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        catalog.resolve(kind, config, "w")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        (
            "architectures",
            "timm/resnet10",
            "did you mean 'timm/resnet10t'? known: timm/resnet10t, ",
        ),
        ("architectures", "timm/zzzzz", "; known: timm/"),
        ("architectures", "torchvision/resnet19", "did you mean 'torchvision/resnet18'? known: "),
        ("normalizers", "zzz", "; known: batch, batch_instance, "),
    ],
)
def test_of_many_names_a_message_has_the_near_ones_and_what_lists_all(
    kind: str, name: str, said: str
) -> None:
    with pytest.raises(SpecError) as caught:
        catalog.find(kind, name, "w")
    message = str(caught.value)
    assert said in message
    assert len(message) < 330
    assert message.count(", ") == 5
    lists = "timm.list_models()" if "timm" in name else f"python -m pipeline.catalog {kind}"
    assert f" in all; {lists} lists them)" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('def bad(*, x=1):\n    """B."""', "bad: its option 'x'"),
        ('def bad(*, name: str = "a"):\n    """B."""', "bad: its option 'name'"),
        ('def bad(*, x: dict = None):\n    """B."""', "bad: its option 'x'"),
        ('def bad(*, x: int | str = 1):\n    """B."""', "bad: its option 'x'"),
        ('def bad(*, x: float = 2 * EPS):\n    """B."""', "bad: its option 'x'"),
        ('def bad(x):\n    """B."""', "bad: a part of normalizers takes 0 positional arguments"),
        ('def bad(**more):\n    """B."""', r"bad: a part has no \*args"),
        ("def bad(): pass", "bad: a part has a docstring"),
        ('def batch():\n    """B."""', "batch: .*feature defines a part of that name too"),
    ],
)
def test_a_badly_formed_part_is_a_programming_error(small: Path, text: str, message: str) -> None:
    (small / "normalizers" / "more.py").write_text(text)
    with pytest.raises(TypeError, match=rf"more\.py:1: {message}"):
        catalog.parts("normalizers")


def test_load_imports_the_function(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(small.parent))
    assert catalog.load(catalog.parts("normalizers")["none"]).__doc__ == "Nothing."


@pytest.mark.parametrize("kind", POSITIONAL)
def test_all_parts_of_the_project_can_be_read_and_have_right_defaults(kind: str) -> None:
    for part in catalog.parts(kind).values():
        if part.name.startswith("timm/") and part.name != "timm/resnet18":
            continue  # a thousand of one kind
        assert part.summary.endswith("."), part
        options = part.options.values()
        given = {o.name: 1 if o.annotation == "int" else "x" for o in options if o.required}
        if kind == "probes":
            given["every"] = 1
            assert not {o.name for o in options} & Cadence.model_fields.keys(), part
        resolved = catalog.resolve(kind, {"name": part.name, **given}, part.name)
        assert {"name", *part.options} <= resolved.keys()


def test_catalog_and_spec_import_neither_torch_nor_what_help_does_not_need() -> None:
    code = (
        "import sys, pipeline.spec.read; from pipeline.catalog.registry import parts\n"
        "parts('normalizers'), parts('architectures')\n"
        "early = {'torch', 'ray', 'mlflow', 'pydantic', 'numpy'} & sys.modules.keys()\n"
        "import pipeline.spec.expand\n"
        "late = {'torch', 'ray', 'mlflow', 'numpy'} & sys.modules.keys()\n"
        "print(sorted(early), sorted(late))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] []\n"
