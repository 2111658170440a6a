"""Parts as their files declare them: read from the syntax tree, nothing is imported.

Every public function at the top level of a file is a part; its keyword-only parameters are its
options.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.catalog.own_parts import Folder

POSITIONAL = {"data": 0, "architectures": 2, "normalizers": 0, "optimizers": 0, "probes": 1}
"""The kinds of part, and how many positional arguments a part of each takes."""
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


def functions(file: Path, text: str) -> Iterator[ast.FunctionDef]:
    """The public functions at the top level of a file.

    Raises:
        SyntaxError: if its text is no Python.
    """
    tree = ast.parse(text, filename=str(file))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node


def declared(kind: str, module: str, file: Path, function: ast.FunctionDef) -> Part:
    """The part that a function of a file is.

    Raises:
        TypeError: if it is declared in a way that the catalog cannot read.
    """
    arguments = function.args
    passes_on = arguments.kwarg is not None and (kind, function.name) == _OPEN
    if arguments.vararg or (arguments.kwarg and not passes_on):
        raise unreadable(file, function, "a part has no *args or **kwargs")
    if len(arguments.posonlyargs) + len(arguments.args) != POSITIONAL[kind]:
        expected = f"a part of {kind} takes {POSITIONAL[kind]} positional arguments"
        raise unreadable(file, function, f"{expected}; options are keyword-only, after a *")
    summary = (ast.get_docstring(function) or "").partition("\n")[0]
    if not summary:
        raise unreadable(file, function, "a part has a docstring: its line in the catalog")
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
            raise unreadable(file, function, problem)
        if option.location:
            raise unreadable(file, function, f"its option {name!r}: an optimizer reads no data")


def _option(
    file: Path, function: ast.FunctionDef, argument: ast.arg, default: ast.expr | None
) -> Option:
    name, annotation = argument.arg, argument.annotation
    if name == "name" or annotation is None:
        raise unreadable(
            file, function, f"its option {name!r} needs an annotation, or another name"
        )
    try:
        option_type(annotation)
        value = None if default is None else ast.literal_eval(default)
    except (KeyError, TypeError, ValueError) as error:
        text = (
            f"its option {name!r} is not of a type, or its default no literal, that YAML can give"
        )
        raise unreadable(file, function, text) from error
    written = ast.unparse(annotation)
    value = list(value) if isinstance(value, tuple) else value
    return Option(name, written, value, default is None, "Location" in written)


def option_type(annotation: ast.expr) -> Any:
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
            return option_type(left) | None
        case ast.Subscript(value=ast.Name(id="list" | "Sequence"), slice=item):
            return list[option_type(item)]
        case ast.Subscript(value=ast.Name(id="Literal"), slice=choices):
            values = ast.literal_eval(choices)
            return Literal[values if isinstance(values, tuple) else (values,)]
        case ast.Subscript(value=ast.Name(id=name), slice=item):
            return _bounded(name)[option_type(item)]
    raise ValueError(f"unknown annotation {ast.unparse(annotation)}")


def _bounded(name: str) -> Any:
    from pipeline.catalog import option_types as options  # brings pydantic

    return {known: getattr(options, known) for known in options.__all__}[name]


def unreadable(file: Path, function: ast.FunctionDef, problem: str) -> TypeError:
    """The error that a function is no part, with its line."""
    return TypeError(f"{file}:{function.lineno}: {function.name}: {problem}")
