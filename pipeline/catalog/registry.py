"""The registry of parts: ``data``, ``architectures``, ``normalizers``, ``optimizers``, ``probes``.

Every public function at the top level of a file there is a part; its name is the YAML name, its
keyword-only parameters are the YAML options. The files are parsed, never imported, so a list of all
parts and a check of all options cost no torch, and are the same in every process.

Two families of parts have their names from elsewhere: ``torchvision/<name>`` and ``timm/<name>``,
each built by one function in ``architectures/_torchvision/`` or ``_timm/``. Parts of other folders
(`own_parts`) are called ``PREFIX/NAME``.
"""

from __future__ import annotations

import argparse
import ast
import functools
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.catalog import own_parts
from pipeline.catalog.family_names import timm_names, torchvision_names
from pipeline.catalog.own_parts import Folder
from pipeline.cli import SpecError, did_you_mean, exit_code, quoted

if TYPE_CHECKING:
    from pydantic import BaseModel

ROOT = Path(__file__).parents[1]
POSITIONAL = {"data": 0, "architectures": 2, "normalizers": 0, "optimizers": 0, "probes": 1}
"""The kinds of part, and how many positional arguments a part of each takes."""

FAMILIES = {"torchvision": torchvision_names, "timm": timm_names}
"""Packages whose classifiers are architectures, and what lists their names."""
_OPTIONAL = "timm"
_OPEN = ("architectures", "module")
"""The one part that hands other options on, to a class of the user's."""
_SCALARS = {"int": int, "float": float, "bool": bool, "str": str, "Location": str}


@dataclass(frozen=True)
class Option:
    """A keyword-only parameter of a part."""

    name: str
    annotation: str
    default: Any
    required: bool
    location: bool
    """It locates data, whose content enters the cell id (`pipeline.spec.contents`)."""


@dataclass(frozen=True)
class Part:
    """A dataset, architecture, normalizer, optimizer or probe."""

    kind: str
    name: str
    module: str
    summary: str
    options: dict[str, Option]
    folder: Folder | None = None
    """Where it is from, if it is not ours."""
    source: str = ""
    """Digest of its source, if it is not ours."""
    passes_on: bool = False
    """It takes any other option, for what it is made of (``**options``)."""


OF_EVERY_OPTIMIZER = {
    "clip": Option("clip", "Positive | None", None, False, False),
    "decay_norms": Option("decay_norms", "bool", True, False, False),
}
"""Options of every optimizer beside its own; the training loop itself applies them."""
_OF_TRAINING = ("lr", "weight_decay", *OF_EVERY_OPTIMIZER)
"""What an optimizer is told by the loop, and so has no option for."""


def parts(kind: str) -> dict[str, Part]:
    """List the parts of a kind by name, sorted.

    Raises:
        TypeError: if a file there defines a part in a way that the catalog cannot read.
    """
    own = own_parts.folders()
    if not own:
        return _scan(ROOT, kind)
    found = dict(_scan(ROOT, kind))
    for folder in own.values():
        found |= _scan_folder(folder, kind)
    return found


def load(part: Part) -> Callable[..., Any]:
    """Import a part's function; the name after a family's slash is its first argument."""
    name, _, member = part.name.partition("/")
    if part.folder:
        own_parts.importable(part.folder)
        return getattr(importlib.import_module(part.module), member)
    function = getattr(importlib.import_module(part.module), name)
    return functools.partial(function, member) if member else function


def make(kind: str, config: Mapping[str, Any], *arguments: Any) -> Any:
    """Make what a part's resolved configuration describes.

    The options that every optimizer has are not the part's own: it is not given them.

    Args:
        kind: which folder.
        config: ``name`` and options, as `resolve` returns them.
        arguments: the part's positional arguments.
    """
    apart = {"name", *(OF_EVERY_OPTIMIZER if kind == "optimizers" else ())}
    options = {key: value for key, value in config.items() if key not in apart}
    return load(parts(kind)[config["name"]])(*arguments, **options)


def resolve(kind: str, config: object, where: str, *, partial: bool = False) -> dict[str, Any]:
    """Check a part's configuration and fill in its defaults.

    A probe takes the keys of `pipeline.catalog.validation.ProbeSettings` beside its own options.

    Args:
        kind: which folder.
        config: a bare name, or a mapping of ``name`` and options.
        where: the key path of the configuration, for errors.
        partial: return only what is given, required options or not: a pattern of configurations.

    Raises:
        SpecError: for an unknown name or option, a wrong type or a missing required option.
    """
    # pydantic costs 0.2 s, which `--help` need not pay
    from pipeline.catalog.validation import validate

    name, options = _split(config, where)
    part = find(kind, name, f"{where}.name" if isinstance(config, Mapping) else where)
    settings = validate(_model(ROOT, kind, name, part.module, partial), options, where)
    return {"name": part.name, **settings.model_dump(exclude_unset=partial)}


def find(kind: str, name: str, where: str) -> Part:
    """Look a part up by the name that stands at the key path ``where``.

    Raises:
        SpecError: if there is none, with the nearest name.
    """
    known = parts(kind)
    if name not in known:
        if kind == "architectures" and name.startswith(f"{_OPTIONAL}/") and not timm_names():
            raise SpecError(f"{quoted(name)} needs timm: pip install timm", where)
        noun = "dataset" if kind == "data" else kind.removesuffix("s")
        raise SpecError(f"no {noun} {quoted(name)}; {_nearest(name, known)}", where)
    return known[name]


def _nearest(name: str, known: Mapping[str, Part]) -> str:
    """Say the nearest right name: of a family's, if the name has a slash or is one of them."""
    whole = [f"{family}/{name}" for family in FAMILIES if f"{family}/{name}" in known]
    wanted = whole[0] if whole else name
    members = {k: k.partition("/")[0] for k in known if k.partition("/")[0] in FAMILIES}
    named, slash, _ = wanted.partition("/")
    if slash and named in members.values():
        return did_you_mean(wanted, [k for k, family in members.items() if family == named])
    own = {k for k in known if k not in members}
    others = members if slash else {f"{family}/<name>" for family in members.values()}
    return did_you_mean(wanted, own | {*others})


def _split(config: object, where: str) -> tuple[str, dict[str, Any]]:
    if isinstance(config, str):
        return config, {}
    if not isinstance(config, Mapping) or "name" not in config:
        raise SpecError(
            f"must be a name or {{name: ..., option: ...}}, not {quoted(config)}", where
        )
    name = config["name"]
    if not isinstance(name, str):
        raise SpecError(f"must be the name of a part, not {quoted(name)}", f"{where}.name")
    return name, {key: value for key, value in config.items() if key != "name"}


_NO_SOURCE = {"use_attribute_docstrings": False}
"""A model that is made here has no source: pydantic would look for it in all imported modules."""


@cache
def _model(root: Path, kind: str, name: str, module: str, partial: bool) -> type[BaseModel]:
    """Make the pydantic model of a part's options; ``root`` and ``module`` tell parts apart."""
    from pydantic import Field, create_model

    from pipeline.catalog.validation import Open, ProbeSettings, Strict

    fields: dict[str, Any] = {}
    part = parts(kind)[name]
    for option in part.options.values():
        type_ = _type(ast.parse(option.annotation, mode="eval").body)
        fields[option.name] = (type_, ... if option.required else option.default)
    own = Open if part.passes_on else Strict
    base = ProbeSettings if kind == "probes" else own
    made: dict[str, Any] = {"__cls_kwargs__": _NO_SOURCE}
    if not partial:
        return create_model(name, __base__=base, **made, **fields)
    unset = Field(default=None, validate_default=False)
    types = {key: field.annotation for key, field in base.model_fields.items()}
    types |= {key: type_ for key, (type_, _) in fields.items()}
    loose: dict[str, Any] = {key: (type_, unset) for key, type_ in types.items()}
    return create_model(name, __base__=own, **made, **loose)


@cache
def _scan(root: Path, kind: str) -> dict[str, Part]:
    found: dict[str, Part] = {}
    for file in sorted((root / kind).glob("[!_]*.py")):
        for function in _functions(file, file.read_text(encoding="utf-8")):
            if function.name in found:
                other = found[function.name].module
                raise _unreadable(file, function, f"{other} defines a part of that name too")
            module = f"{root.name}.{kind}.{file.stem}"
            found[function.name] = _part(kind, module, file, function)
    for family in FAMILIES:
        if (root / kind / f"_{family}" / "__init__.py").exists():
            found |= _family(family, kind, f"{root.name}.{kind}._{family}")
    return dict(sorted(found.items()))


@cache
def _scan_folder(folder: Folder, kind: str) -> dict[str, Part]:
    """The parts of a kind of a folder that is not ours.

    Raises:
        SpecError: if a file there is not what a part's has to be.
    """
    found: dict[str, Part] = {}
    for name, text in folder.files.items():
        place = Path(name)
        if place.parent != Path(kind) or place.stem.startswith("_"):
            continue
        try:
            for function in _functions(place, text):
                module = f"{folder.package}.{kind}.{place.stem}"
                part = _part(kind, module, place, function)
                source = own_parts.part_digest(folder, name)
                whole = f"{folder.prefix}/{part.name}"
                if whole in found:
                    other = found[whole].module.rpartition(".")[2]
                    raise _unreadable(place, function, f"{other}.py defines it too")
                found[whole] = replace(part, name=whole, folder=folder, source=source)
        except (TypeError, SyntaxError) as error:
            raise SpecError(f"parts of {folder.prefix}: {error}") from None
    return found


def _family(family: str, kind: str, module: str) -> dict[str, Part]:
    """The parts of a family, ``FAMILY/<name>``; none has options."""
    summary = "{}'s {}, its normalizations and weight layers replaced."
    return {
        whole: Part(kind, whole, module, summary.format(family.capitalize(), name), {})
        for name, whole in ((name, f"{family}/{name}") for name in FAMILIES[family]())
    }


def _functions(file: Path, text: str) -> Iterator[ast.FunctionDef]:
    tree = ast.parse(text, filename=str(file))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node


def _part(kind: str, module: str, file: Path, function: ast.FunctionDef) -> Part:
    arguments = function.args
    passes_on = arguments.kwarg is not None and (kind, function.name) == _OPEN
    if arguments.vararg or (arguments.kwarg and not passes_on):
        raise _unreadable(file, function, "a part has no *args or **kwargs")
    if len(arguments.posonlyargs) + len(arguments.args) != POSITIONAL[kind]:
        expected = f"a part of {kind} takes {POSITIONAL[kind]} positional arguments"
        raise _unreadable(file, function, f"{expected}; options are keyword-only, after a *")
    summary = (ast.get_docstring(function) or "").partition("\n")[0]
    if not summary:
        raise _unreadable(file, function, "a part has a docstring: its line in the catalog")
    options = {
        argument.arg: _option(file, function, argument, default)
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    }
    if kind == "optimizers":
        _refuse_options_of_training(file, function, options)
        options |= OF_EVERY_OPTIMIZER
    return Part(kind, function.name, module, summary, options, passes_on=passes_on)


def _refuse_options_of_training(
    file: Path, function: ast.FunctionDef, options: Mapping[str, Option]
) -> None:
    for name, option in options.items():
        if name in _OF_TRAINING:
            problem = f"its option {name!r} is one of the training's; take another name"
            raise _unreadable(file, function, problem)
        if option.location:
            raise _unreadable(file, function, f"its option {name!r}: an optimizer reads no data")


def _option(
    file: Path, function: ast.FunctionDef, argument: ast.arg, default: ast.expr | None
) -> Option:
    name, annotation = argument.arg, argument.annotation
    if name == "name" or annotation is None:
        raise _unreadable(
            file, function, f"its option {name!r} needs an annotation, or another name"
        )
    try:
        _type(annotation)
        value = None if default is None else ast.literal_eval(default)
    except (KeyError, ValueError) as error:
        text = (
            f"its option {name!r} is not of a type, or its default no literal, that YAML can give"
        )
        raise _unreadable(file, function, text) from error
    written = ast.unparse(annotation)
    value = list(value) if isinstance(value, tuple) else value
    return Option(name, written, value, default is None, "Location" in written)


def _type(annotation: ast.expr) -> Any:
    """Read int, float, bool, str, Location, Literal[...], list[X], Sequence[X] and X | None.

    And the bounded types of `pipeline.catalog.option_types` by name: Positive, Span, NonEmpty[X]
    and their like.
    """
    match annotation:
        case ast.Name(id=name):
            return _SCALARS[name] if name in _SCALARS else _bounded(name)
        case ast.Constant(value=None):
            return None
        case ast.BinOp(left=left, op=ast.BitOr(), right=ast.Constant(value=None)):
            return _type(left) | None
        case ast.Subscript(value=ast.Name(id="list" | "Sequence"), slice=item):
            return list[_type(item)]
        case ast.Subscript(value=ast.Name(id="Literal"), slice=choices):
            values = ast.literal_eval(choices)
            return Literal[values if isinstance(values, tuple) else (values,)]
        case ast.Subscript(value=ast.Name(id=name), slice=item):
            return _bounded(name)[_type(item)]
    raise ValueError(f"unknown annotation {ast.unparse(annotation)}")


def _bounded(name: str) -> Any:
    from pipeline.catalog import option_types as options  # brings pydantic

    return {known: getattr(options, known) for known in options.__all__}[name]


def _unreadable(file: Path, function: ast.FunctionDef, problem: str) -> TypeError:
    return TypeError(f"{file}:{function.lineno}: {function.name}: {problem}")


def main(arguments: list[str] | None = None) -> int:
    """Print the parts of a kind: the whole page of the normalizers, a line or two of the others."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.catalog", description="List what a sweep file can name."
    )
    parser.add_argument("kind", nargs="?", choices=list(POSITIONAL), help="one kind (all)")
    kind = parser.parse_args(arguments).kind
    return exit_code(lambda: _listed(kind), "the list is not complete")


def _listed(kind: str | None) -> int:
    from pipeline.catalog.markdown import listing, normalizers_page

    if kind == "normalizers":
        print(normalizers_page(), end="")
        return 0
    for name in [kind] if kind else POSITIONAL:
        print(f"{name}\n\n{listing(name)}\n")
    return 0
