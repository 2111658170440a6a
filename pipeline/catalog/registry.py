"""The registry of parts: ``data``, ``architectures``, ``normalizers``, ``optimizers``, ``probes``.

Every public function at the top level of a file there is a part; its name is the YAML name, its
keyword-only parameters are the YAML options. The files are parsed, never imported, so a list of all
parts and a check of all options cost no torch, and are the same in every process.

Two families of parts have their names from elsewhere: ``torchvision/<name>`` and ``timm/<name>``,
each built by one function in ``architectures/_torchvision/`` or ``_timm/``. Parts of other folders
(`own_parts`) are called ``PREFIX/NAME``.
"""

from __future__ import annotations

import ast
import functools
import importlib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.catalog import own_parts
from pipeline.catalog.declarations import (
    OF_EVERY_OPTIMIZER,
    POSITIONAL,
    Part,
    declared,
    functions,
    option_type,
    unreadable,
)
from pipeline.catalog.family_names import timm_names, torchvision_names
from pipeline.catalog.own_scan import scan_folder
from pipeline.cli import SpecError, did_you_mean, kind_of, quoted

if TYPE_CHECKING:
    from pydantic import BaseModel

ROOT = Path(__file__).parents[1]
FAMILIES = {"torchvision": torchvision_names, "timm": timm_names}
"""Packages whose classifiers are architectures, and what lists their names."""
_OPTIONAL = "timm"
_RETURNS = {
    "data": ("pipeline.data", "Dataset"),
    "architectures": ("pipeline.architectures", "Network"),
    "normalizers": ("pipeline.normalizers", "Normalizer"),
    "optimizers": ("pipeline.optimizers", "UpdateRule"),
}
"""What a part's function returns: a class of a room that this one does not import."""


def parts(kind: str) -> dict[str, Part]:
    """List the parts of a kind by name, sorted; of own folders those that can be read (`faults`).

    Raises:
        TypeError: if a file of ours defines a part in a way that the catalog cannot read.
    """
    own = own_parts.folders()
    if not own:
        return _scan(ROOT, kind)
    found = dict(_scan(ROOT, kind))
    for folder in own.values():
        found |= scan_folder(folder, kind).parts
    return found


def faults(kind: str) -> dict[str, str]:
    """By name: what own folders define but what is no part, and why it is none."""
    scans = [scan_folder(folder, kind) for folder in own_parts.folders().values()]
    return {name: problem for scan in scans for name, problem in scan.faults.items()}


def passed_over() -> list[str]:
    """A line for every file, or function, of own folders that is no part."""
    return list(dict.fromkeys(line for kind in POSITIONAL for line in faults(kind).values()))


def load(part: Part) -> Callable[..., Any]:
    """Import a part's function; the name after a family's slash is its first argument."""
    name, _, member = part.name.partition("/")
    if part.folder:
        own_parts.importable(part.folder)
        try:
            return getattr(importlib.import_module(part.module), member)
        except SystemExit:
            raise ImportError(f"{part.name}: its file ends the process as it is imported") from None
    function = getattr(importlib.import_module(part.module), name)
    return functools.partial(function, member) if member else function


def make(kind: str, config: Mapping[str, Any], *arguments: Any) -> Any:
    """Make what a part's resolved configuration describes.

    The options that every optimizer has are not the part's own: it is not given them.

    Args:
        kind: which folder.
        config: ``name`` and options, as `resolve` returns them.
        arguments: the part's positional arguments.

    Raises:
        TypeError: if the part's function returns something else than a part of its kind does.
        RuntimeError: if it would end the process.
    """
    apart = {"name", *(OF_EVERY_OPTIMIZER if kind == "optimizers" else ())}
    options = {key: value for key, value in config.items() if key not in apart}
    function = load(parts(kind)[config["name"]])
    try:
        found = function(*arguments, **options)
    except SystemExit:
        raise RuntimeError(f"{_noun(kind)} {config['name']} ends the process") from None
    if kind in _RETURNS:
        home, name = _RETURNS[kind]
        if not isinstance(found, getattr(importlib.import_module(home), name)):
            what = f"{_noun(kind)} {config['name']} returns {kind_of(found)}"
            raise TypeError(f"{what}, not {_article(name)} {name}")
    return found


def _noun(kind: str) -> str:
    return "dataset" if kind == "data" else kind.removesuffix("s")


def _article(noun: str) -> str:
    return "an" if noun[0] in "AEIOU" else "a"


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
        SpecError: if there is none, with the nearest name, or if its file is wrong.
    """
    known = parts(kind)
    if name not in known:
        if fault := faults(kind).get(name):
            raise SpecError(fault, where)
        if kind == "architectures" and name.startswith(f"{_OPTIONAL}/") and not timm_names():
            raise SpecError(f"{quoted(name)} needs timm: pip install timm", where)
        raise SpecError(f"no {_noun(kind)} {quoted(name)}; {nearest(name, known, kind)}", where)
    return known[name]


def nearest(name: str, known: Iterable[str], kind: str = "") -> str:
    """Say the nearest right name: of a family's, if the name has a slash or is one of them.

    Args:
        name: the wrong one.
        known: names of parts.
        kind: of all of them, if it is one.
    """
    every = set(known)
    whole = [f"{family}/{name}" for family in FAMILIES if f"{family}/{name}" in every]
    wanted = whole[0] if whole else name
    members = {k: k.partition("/")[0] for k in every if k.partition("/")[0] in FAMILIES}
    family, slash, _ = wanted.partition("/")
    command = f"python -m pipeline.catalog {kind}".rstrip()
    if slash and family in members.values():
        mine = [k for k, other in members.items() if other == family]
        many = family == _OPTIONAL  # so many that the catalog does not list them either
        return did_you_mean(wanted, mine, f"{family}.list_models()" if many else command)
    others = members if slash else {f"{other}/<name>" for other in members.values()}
    return did_you_mean(wanted, every - {*members} | {*others}, command)


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
        type_ = option_type(ast.parse(option.annotation, mode="eval").body)
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
        for function in functions(file, file.read_text(encoding="utf-8")):
            if function.name in found:
                other = found[function.name].module
                raise unreadable(file, function, f"{other} defines a part of that name too")
            module = f"{root.name}.{kind}.{file.stem}"
            found[function.name] = declared(kind, module, file, function)
    for family in FAMILIES:
        if (root / kind / f"_{family}" / "__init__.py").exists():
            found |= _family(family, kind, f"{root.name}.{kind}._{family}")
    return dict(sorted(found.items()))


def _family(family: str, kind: str, module: str) -> dict[str, Part]:
    """The parts of a family, ``FAMILY/<name>``; none has options."""
    summary = "{}'s {}, its normalizations and weight layers replaced."
    return {
        whole: Part(kind, whole, module, summary.format(family.capitalize(), name), {})
        for name, whole in ((name, f"{family}/{name}") for name in FAMILIES[family]())
    }
