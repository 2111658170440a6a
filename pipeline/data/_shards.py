"""Find the Parquet files of a dataset's splits, as the Hugging Face Hub lays them out.

Understood are, below PATH, PATH/data or PATH/CONFIG: ``train-00000-of-00002.parquet`` and the same
with a hash before the suffix; ``train/0000.parquet``; ``train.parquet``. PATH is a local folder or
a URI that fsspec reads. Neither torch nor pyarrow is needed.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.data._sources import Source, is_rubbish, local_source

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_SPLITS = {
    "train": "train",
    "test": "test",
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
}
_NUMBERED = re.compile(r"(\w+)-(\d+)-of-(\d+)(?:-[0-9a-f]+)?")
_DEPTH = 3
"""CONFIG/SPLIT/0000.parquet is as deep as files are looked for."""


_STATES = ("ETag", "etag", "md5Hash", "content_md5", "LastModified", "mtime", "updated", "created")
"""What object stores call the state of an object."""


class Shards(NamedTuple):
    """The files of a dataset by split: train, test and, if there is one, validation."""

    system: AbstractFileSystem
    splits: dict[str, list[Source]]
    notes: list[str]
    """What a reader should know of the choice of splits."""

    @property
    def sources(self) -> list[Source]:
        """All files that are read."""
        return [source for split in self.splits.values() for source in split]


class _File(NamedTuple):
    """A file whose name tells its split."""

    path: str
    word: str
    """The split as it is written."""
    number: int
    total: int | None
    """Number of files of the split, where the name tells it."""


def find_shards(path: str) -> Shards:
    """List the files of each split, in order and none missing.

    Where there is no test split, the validation split is the test split.

    Raises:
        ValueError: if there is no such folder or no whole set of files in it.
    """
    system, root, infos = _listing(path)
    folder, files = _folder(root, sorted(infos))
    words = _words(folder, files)
    splits, notes = {}, []
    for split in ("train", "test", "validation"):
        if split in words:
            splits[split] = _whole(folder, words[split], files)
    if "test" not in splits and "validation" in splits:
        splits["test"] = splits.pop("validation")
        word = words["validation"]
        notes = [f"{folder} has no test files: {word} is the test split"]
    for split in ("train", "test"):
        if split not in splits:
            names = ", ".join(_name(file) for file in sorted(infos)[:6])
            raise ValueError(
                f"{folder} has no file {split}-00000-of-00001.parquet (it has: {names or '-'})"
            )
    sources = {
        split: [
            _source(system, f"{split}/{number:05}", file, infos[file])
            for number, file in enumerate(found)
        ]
        for split, found in splits.items()
    }
    return Shards(system, sources, notes)


def parquet_sources(path: str) -> tuple[list[Source], list[str]]:
    """All files that are read, and the notes on them."""
    shards = find_shards(path)
    return shards.sources, shards.notes


def _listing(path: str) -> tuple[AbstractFileSystem, str, dict[str, Any]]:
    """The files of a folder, with what the file system knows of each."""
    import fsspec

    try:
        system, root = fsspec.url_to_fs(path)
        if not is_local(system):
            system.invalidate_cache()
        infos = system.find(root, maxdepth=_DEPTH, detail=True)
    except (OSError, ImportError, ValueError) as error:
        raise ValueError(f"cannot read the folder {path} ({error})") from error
    if not infos or root in infos:
        raise ValueError(f"{path} is not a folder with files train-00000-of-00001.parquet …")
    return system, root, infos


def is_local(system: Any) -> bool:
    """Whether a file system of fsspec is this machine's."""
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(system, LocalFileSystem)


def _folder(root: str, paths: Iterable[str]) -> tuple[str, list[_File]]:
    """The folder of the splits: PATH if files there are named so, else the only one below it."""
    folders: dict[str, list[_File]] = defaultdict(list)
    for path in paths:
        below = PurePosixPath(path[len(root) :].lstrip("/"))
        if below.suffix == ".parquet" and not any(map(is_rubbish, below.parts)):
            where, file = _read_name(below, path)
            if file and len(where.parts) < _DEPTH - 1:
                folders[str(where)].append(file)
    if "." in folders or not folders:
        return root, folders["."]
    if len(folders) > 1:
        names = ", ".join(sorted(folders))
        example = f"{root}/{min(folders)}"
        raise ValueError(f"{root} has several configurations ({names}); name one: path {example}")
    ((name, files),) = folders.items()
    return f"{root}/{name}", files


def _read_name(below: PurePosixPath, path: str) -> tuple[PurePosixPath, _File | None]:
    """What a file's place tells: the folder of the splits, and split and number of the file."""
    stem, folder = below.stem, below.parent
    if match := _NUMBERED.fullmatch(stem):
        word, number, total = match[1], int(match[2]), int(match[3])
    elif stem.isdecimal() and folder.name in _SPLITS:
        word, number, total, folder = folder.name, int(stem), None, folder.parent
    else:
        word, number, total = stem, 0, 1
    return folder, _File(path, word, number, total) if word in _SPLITS else None


def _words(folder: str, files: Iterable[_File]) -> dict[str, str]:
    """How each split is written; two words for one split are an error."""
    words: dict[str, str] = {}
    for file in files:
        other = words.setdefault(_SPLITS[file.word], file.word)
        if other != file.word:
            raise ValueError(
                f"{folder}: {other} and {file.word} are both {_SPLITS[file.word]} splits; "
                "keep one of them"
            )
    return words


def _whole(folder: str, word: str, files: Iterable[_File]) -> list[str]:
    """Paths of a split's files in order, none missing and none there twice."""
    found = sorted((file for file in files if file.word == word), key=lambda file: file.number)
    totals = {len(found) if file.total is None else file.total for file in found}
    if len(totals) != 1 or [file.number for file in found] != list(range(totals.pop())):
        raise ValueError(
            f"{folder}: the {word} files are not one whole set of shards: "
            f"{', '.join(_name(file.path) for file in found)}"
        )
    return [file.path for file in found]


def _name(path: str) -> str:
    return PurePosixPath(path).name


def _source(system: AbstractFileSystem, name: str, path: str, info: dict[str, Any]) -> Source:
    if is_local(system):
        return local_source(name, path)
    known = {key: str(info[key]) for key in _STATES if info.get(key)}
    changed = 0.0 if known else math.inf  # a digest of what may have changed is not kept
    return Source(name, path, info["size"] or 0, str(known), changed, system)
