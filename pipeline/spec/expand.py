"""From a sweep file's base and grid to cells: product, exclusions, extra cells, labels, ids."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.catalog import find, parts, resolve
from pipeline.cli import Mistakes, SpecError, did_you_mean, joined, quoted, single_errors
from pipeline.spec.contents import Contents
from pipeline.spec.exclude import excluded, rule
from pipeline.spec.labels import part_label, training_label, varying_training
from pipeline.spec.merge import merged, refuse_dropped
from pipeline.spec.overrides import assign
from pipeline.spec.read import KINDS, Cell, hashed, identity
from pipeline.spec.schema import DOTTED, SECTIONS, SweepFile
from pipeline.spec.training import resolve_training

MAX_CELLS = 100_000

Point = dict[str, Any]
"""A cell's resolved settings by section, without its seed."""


class _Change(NamedTuple):
    """A dotted key that the grid or an extra cell sets, and the key path of its value."""

    key: str
    where: str
    value: Any


class Expansion(NamedTuple):
    """The cells of a sweep, and the exclusion rules that leave none out."""

    cells: list[Cell]
    idle_rules: list[str]
    """Key paths: ``exclude[1]``. A profile or --set may change the grid, so that it is no error."""


def expand(file: SweepFile) -> Expansion:
    """Make the cells of a sweep, each once, seed by seed: what is unfinished still has all kinds.

    Raises:
        SpecError: if a setting is wrong in any cell, or there is no cell, or more than 100,000.
    """
    size = math.prod(len(values) for values in file.grid.values()) + len(file.include)
    if size * len(file.seeds) > MAX_CELLS:
        problem = f"{size} points times {len(file.seeds)} seeds are more than {MAX_CELLS} cells"
        raise SpecError(f"{problem}; split the sweep", "grid")
    points, idle = _points(file)
    if not points:
        raise SpecError("no cell is left; exclude less", "exclude")
    _check_steps(points)
    contents, names = _read_contents(file, points)
    labels = _Labels(points, names)
    cells: dict[str, Cell] = {}
    identities = [identity(*each) for each in zip(points, contents, strict=True)]
    for seed in file.seeds:
        for point, digests, own in zip(points, contents, identities, strict=True):
            settings = {**point, "seed": seed}
            cell_id = hashed({**own, "seed": seed})
            if cell_id not in cells:
                cells[cell_id] = Cell(settings, labels(settings), cell_id, digests)
    return Expansion(list(cells.values()), idle)


def _read_contents(
    file: SweepFile, points: Sequence[Point]
) -> tuple[list[dict[str, str]], dict[str, str]]:
    """What the locations of each point contain, and what labels call each location."""
    contents = Contents()
    try:
        return [contents.digests(point) for point in points], contents.names()
    except SpecError as error:
        section = error.key.partition(".")[0].partition("[")[0]
        swept = any(key.partition(".")[0] == section for key in file.grid)
        where = f"grid.{section}" if swept else _below_base(section)
        raise SpecError(error.problem, where + error.key[len(section) :]) from None


def _points(file: SweepFile) -> tuple[list[Point], list[str]]:
    """The points that run, and the rules that leave no point out."""
    axes = [
        [_Change(key, f"grid.{key}[{i}]", value) for i, value in enumerate(values)]
        for key, values in file.grid.items()
    ]
    mistakes = Mistakes()
    _refuse_swept_twice(file.grid, mistakes)
    resolver = _Resolver(file, mistakes)
    axes = [axis for axis in axes if _is_known(axis[0].key, f"grid.{axis[0].key}", mistakes)]
    grid = [resolver.point(changes) for changes in itertools.product(*axes)]
    extra = [resolver.point(_extra(keys, i, mistakes)) for i, keys in enumerate(file.include)]
    rules = {}
    for i, keys in enumerate(() if mistakes else file.exclude):  # a rule is held against the grid
        with mistakes.collected():
            rules[f"exclude[{i}]"] = rule(keys, f"exclude[{i}]", grid)
    mistakes.report()
    idle = [where for where, holds in rules.items() if not any(map(holds, grid))]
    return [point for point in grid if not excluded(rules.values(), point)] + extra, idle


def _refuse_swept_twice(grid: Mapping[str, Sequence[Any]], mistakes: Mistakes) -> None:
    """Two keys of the grid that set one value: those of one of them would never run."""
    for key, other in itertools.permutations(grid, 2):
        if other.startswith(f"{key}.") and any(
            _sets(value, other.removeprefix(f"{key}.").split(".")) for value in grid[key]
        ):
            problem = f"is swept twice: grid.{key} sets it too; vary it in one of them"
            mistakes.add(SpecError(problem, f"grid.{other}"))


def _sets(value: Any, steps: Sequence[str]) -> bool:
    for step in steps:
        if not isinstance(value, Mapping) or step not in value:
            return False
        value = value[step]
    return True


def _extra(keys: Mapping[str, Any], number: int, mistakes: Mistakes) -> list[_Change]:
    changes = [_Change(key, f"include[{number}].{key}", value) for key, value in keys.items()]
    return [change for change in changes if _is_known(change.key, change.where, mistakes)]


def _is_known(key: str, where: str, mistakes: Mistakes) -> bool:
    if key.partition(".")[0] in SECTIONS:
        return True
    mistakes.add(SpecError(f"no such setting; {did_you_mean(key, DOTTED)}", where))
    return False


class _Resolver:
    """Resolves each section once for every combination of the changes that touch it."""

    def __init__(self, file: SweepFile, mistakes: Mistakes) -> None:
        self.base = {**file.base.model_dump(), "probes": file.probes}
        self.mistakes = mistakes
        self.known: dict[tuple[str, ...], Any] = {}
        for section, config in self.base.items():
            if config is not None:  # what the grid completes or replaces must be right as well
                with mistakes.collected():
                    _resolve(section, config, _below_base(section), partial=True)

    def point(self, changes: Sequence[_Change]) -> Point:
        """Resolve the base with some keys changed; a section with a mistake is None."""
        own: dict[str, list[_Change]] = {section: [] for section in SECTIONS}
        for change in changes:
            own[change.key.partition(".")[0]].append(change)
        return {section: self._section(section, own[section]) for section in SECTIONS}

    def _section(self, section: str, changes: list[_Change]) -> Any:
        key = (section, *(change.where for change in changes))
        if key not in self.known:
            self.known[key] = None
            with self.mistakes.collected():
                self.known[key] = self._resolved(section, changes)
        return self.known[key]

    def _resolved(self, section: str, changes: list[_Change]) -> Any:
        """Resolve a section; what is wrong with a changed value is said of where that stands."""
        where = _below_base(section)
        config, moved = self.base[section], {}
        for change in sorted(changes, key=lambda c: "." in c.key):  # the whole before its options
            _, *steps = change.key.split(".", 2)
            value = merged(section, steps, config, change.value)
            config = assign(config, steps, value, change.where)
            if steps:
                moved[".".join((where, *steps))] = change.where
            else:
                where = change.where
        refuse_dropped(section, self.base[section], config, where)
        try:
            return _resolve(section, config, where)
        except SpecError as error:
            moves = (SpecError(e.problem, _moved(e.key, moved)) for e in single_errors(error))
            raise joined(moves) from None


def _below_base(section: str) -> str:
    return section if section == "probes" else f"base.{section}"


def _moved(key: str, moved: Mapping[str, str]) -> str:
    for old, new in moved.items():
        if key == old or key.startswith((f"{old}.", f"{old}[")):
            return new + key[len(old) :]
    return key


def _resolve(section: str, config: Any, where: str, *, partial: bool = False) -> Any:
    """Check a section and fill in its defaults, or, if partial, check what it gives."""
    if section == "training":
        return resolve_training(config, where, partial=partial)
    if section == "probes":
        return resolve_probes(config, where, partial)
    if config is None:
        known = did_you_mean("", parts(KINDS[section]))
        raise SpecError(f"no {section} is given, here or in the grid; {known}", where)
    if section != "normalizer":
        return resolve(KINDS[section], config, where, partial=partial)
    if not isinstance(config, list):
        return [resolve("normalizers", config, where, partial=partial)]
    if not config:
        raise SpecError("must have at least 1 normalizer, or be none, not []", where)
    return [
        resolve("normalizers", part, f"{where}[{i}]", partial=partial)
        for i, part in enumerate(config)
    ]


def resolve_probes(config: Any, where: str, partial: bool) -> dict[str, Any]:
    """Check probes by name, and fill in their defaults or, if partial, keep what is given.

    Raises:
        SpecError: with a line for every mistake.
    """
    if not isinstance(config, dict):
        raise SpecError(f"must be a mapping of probes, not {quoted(config)}", where)
    resolved, mistakes = {}, Mistakes()
    for name, options in config.items():
        with mistakes.collected():
            resolved[name] = _probe(name, options, f"{where}.{name}", partial)
    mistakes.report()
    return resolved


def _probe(name: str, options: Any, where: str, partial: bool) -> dict[str, Any]:
    find("probes", name, where)
    if not isinstance(options, dict) or "name" in options:
        right = "a mapping that says when to measure, e.g. {every: 50}"
        raise SpecError(f"must be {right}, not {quoted(options)}", where)
    resolved = resolve("probes", {**options, "name": name}, where, partial=partial)
    del resolved["name"]
    return resolved


def _check_steps(points: Sequence[Point]) -> None:
    mistakes = Mistakes()
    for point in points:
        steps = point["training"]["steps"]
        for name, options in point["probes"].items():
            beyond = [step for step in options["at"] if not -steps <= step < steps]
            if beyond:
                problem = f"there is no step {beyond[-1]} of {steps} steps"
                right = f"the first is 0 (or {-steps}), the last {steps - 1} (or -1)"
                mistakes.add(SpecError(f"{problem}; {right}", f"probes.{name}.at"))
    mistakes.report()


class _Labels:
    """What tables call a cell's settings; each section's label is made once."""

    def __init__(self, points: Sequence[Point], names: Mapping[str, str]) -> None:
        trainings = {id(p["training"]): p["training"] for p in points}
        self.varying = varying_training(trainings.values())
        self.names = names
        self.known: dict[tuple[str, int], str] = {}

    def __call__(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Label a cell."""
        labels: dict[str, Any] = {section: self._label(section, settings) for section in KINDS}
        labels |= {"lr": settings["training"]["lr"], "seed": settings["seed"]}
        return labels | {"training": self._label("training", settings)}

    def _label(self, section: str, settings: Mapping[str, Any]) -> str:
        config = settings[section]
        key = (section, id(config))
        if key not in self.known:
            self.known[key] = self._made(section, config)
        return self.known[key]

    def _made(self, section: str, config: Any) -> str:
        if section == "training":
            return training_label(config, self.varying)
        members = config if isinstance(config, list) else [config]
        return "+".join(_part_label(KINDS[section], member, self.names) for member in members)


def _part_label(kind: str, config: dict[str, Any], names: Mapping[str, str]) -> str:
    """A part's label, in which each location has the name that labels call it."""
    options = parts(kind)[config["name"]].options
    places = {key: _named(config[key], names) for key, each in options.items() if each.location}
    return part_label(kind, config, places)


def _named(location: str | list[str] | None, names: Mapping[str, str]) -> str | list[str] | None:
    if isinstance(location, list):
        return [names[each] for each in location]
    return None if location is None else names[location]
