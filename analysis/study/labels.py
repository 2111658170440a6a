"""What tells the cells of a study apart: every setting that is swept is in a label.

A plan's own labels name what varies within its sweep. A study may read several sweeps that share
cells, so that ``training`` and ``probes`` are labelled here, over all cells of the study: a cell
has one label, whichever sweeps it belongs to, and two cells have the same labels only if they are
the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from analysis.study.setting_values import flat
from analysis.study.study import LABELS
from pipeline.spec import training_label, varying, varying_training, written

Settings = Mapping[str, Any]
Labels = dict[str, Any]

PARTS = ("data", "architecture", "normalizer")


def labelled(
    cells: Mapping[str, Settings], own: Mapping[str, Labels], trained: Iterable[str] = ()
) -> dict[str, Labels]:
    """The labels of each cell (`LABELS`).

    Args:
        cells: by cell, its settings. own: by cell, the labels of its plan.
        trained: training settings to name even if they do not vary here.
    """
    names = sorted({*varying_training(each["training"] for each in cells.values()), *trained})
    options = swept_options(each["probes"] for each in cells.values())
    found = {
        cell: {
            **own[cell],
            "training": training_label(settings["training"], names),
            "probes": probes_label(settings["probes"], options),
        }
        for cell, settings in cells.items()
    }
    _tell_apart(found, cells)
    return {cell: {name: labels[name] for name in LABELS} for cell, labels in found.items()}


def swept_options(probes: Iterable[Mapping[str, Settings]]) -> dict[str, list[str]]:
    """By probe, its options that differ among the cells that have it, sorted.

    A probe that some cells have and others do not is there with what differs, be it nothing.
    """
    seen: dict[str, dict[int, Settings]] = {}
    sets: list[Mapping[str, Settings]] = []
    for each in probes:
        if each not in sets:
            sets.append(each)
    for each in sets:
        for name, options in each.items():
            seen.setdefault(name, {})[id(options)] = options
    found = {name: varying(options.values()) for name, options in seen.items()}
    common = set.intersection(*(set(each) for each in sets)) if sets else set()
    return {name: found[name] for name in sorted(found) if found[name] or name not in common}


def probes_label(probes: Mapping[str, Settings], options: Mapping[str, list[str]]) -> str:
    """A cell's swept probes: ``landscape.lengths=4``, or a bare name where no option differs."""
    named = [name for name in options if name in probes]
    return ", ".join(variant_label(name, probes[name], options[name]) or name for name in named)


def variant_label(probe: str, settings: Settings, options: Iterable[str]) -> str:
    """The swept options of one probe: ``landscape.lengths=4, landscape.every=10``."""
    return ", ".join(f"{probe}.{each}={written(settings.get(each))}" for each in options)


def _tell_apart(found: dict[str, Labels], cells: Mapping[str, Settings]) -> None:
    """Where unlike cells still have the same labels, add to a part's label what differs.

    This distinguishes, for instance, two folders of one name.
    """
    groups: dict[tuple[Any, ...], list[str]] = {}
    for cell, labels in found.items():
        groups.setdefault(tuple(labels[name] for name in LABELS), []).append(cell)
    differing: dict[tuple[str, str], set[str]] = {}
    for group in groups.values():
        if len(group) > 1:
            for part, keys in _differences([cells[cell] for cell in group]).items():
                differing.setdefault((part, found[group[0]][part]), set()).update(keys)
    for cell, labels in found.items():
        for part in PARTS:
            keys = differing.get((part, labels[part]), ())
            values = dict(flat(part, cells[cell][part])) if keys else {}
            labels[part] += "".join(f" ({key}={written(values.get(key))})" for key in sorted(keys))
    for group in groups.values():
        if len({tuple(found[cell][name] for name in LABELS) for cell in group}) < len(group):
            for cell in group:  # what differs is not in the settings: no two are one
                found[cell]["data"] += f" (cell {cell[:8]})"


def _differences(group: list[Settings]) -> dict[str, set[str]]:
    """By part, the dotted keys whose values differ."""
    found = {}
    for part in PARTS:
        values: dict[str, set[str]] = {}
        for settings in group:
            for key, value in flat(part, settings[part]):
                values.setdefault(key, set()).add(written(value))
        found[part] = {key for key, seen in values.items() if len(seen) > 1}
    return found
