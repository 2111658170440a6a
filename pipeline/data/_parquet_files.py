"""Find, hash and read Parquet files of images in a local folder or at a URI that fsspec knows."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple, cast

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from pipeline.data._decode import Encoded

_LABELS = ("label", "labels", "fine_label")
_IMAGES = ("img", "image")


class Row(NamedTuple):
    """One sample as stored, and what an error calls it."""

    name: str
    image: Encoded
    label: int


class Folder(NamedTuple):
    """A folder of shards."""

    system: AbstractFileSystem
    path: str
    files: tuple[str, ...]

    def shards(self, split: str) -> list[str]:
        """Paths of ``<split>-00000-of-0000N.parquet`` … in order, none missing."""
        pattern = re.compile(rf"{split}-(\d+)-of-(\d+)\.parquet")
        found = {file: pattern.fullmatch(PurePosixPath(file).name) for file in self.files}
        shards = {file: match for file, match in sorted(found.items()) if match}
        if not shards:
            names = ", ".join(sorted(PurePosixPath(file).name for file in self.files)[:6])
            raise ValueError(
                f"{self.path} has no file {split}-00000-of-00001.parquet (it has: {names or '-'})"
            )
        numbers = [int(match[1]) for match in shards.values()]
        total = {int(match[2]) for match in shards.values()}
        if len(total) != 1 or numbers != list(range(total.pop())):
            raise ValueError(
                f"{self.path}: the {split} files are not one whole set of shards: "
                f"{', '.join(PurePosixPath(file).name for file in shards)}"
            )
        return list(shards)

    def digest(self, files: Iterable[str], options: str) -> str:
        """sha256 over ``options`` and the bytes of ``files``."""
        sha = hashlib.sha256(options.encode())
        for file in files:
            sha.update(hashlib.sha256(cast(bytes, self.system.cat_file(file))).digest())
        return sha.hexdigest()


def open_folder(path: str) -> Folder:
    """List a folder.

    Raises:
        ValueError: if there is no such folder, or its protocol is not installed.
    """
    try:
        system, root = fsspec.url_to_fs(path)
        files = system.find(root, maxdepth=1)
    except (OSError, ImportError, ValueError) as error:
        raise ValueError(f"cannot read the folder {path} ({error})") from error
    if not files:
        raise ValueError(f"{path} is not a folder with files train-00000-of-00001.parquet …")
    return Folder(system, path, tuple(files))


def read_rows(folder: Folder, file: str, image: str | None, label: str | None) -> list[Row]:
    """Read one shard; ``image`` and ``label`` name its columns, or are found.

    Raises:
        ValueError: naming the file and the column, and the row (counted from 0).
    """
    try:
        with folder.system.open(file, "rb") as handle:
            parquet = pq.ParquetFile(handle)
            image = _column(file, parquet.schema_arrow, "image", image)
            label = _column(file, parquet.schema_arrow, "label", label)
            table = parquet.read(columns=[image, label])
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{file}: not a whole Parquet file ({error})") from error
    images = [value and value["bytes"] for value in table[image].to_pylist()]
    return [
        _row(file, (image, label), number, *values)
        for number, values in enumerate(zip(images, table[label].to_pylist(), strict=True))
    ]


def _row(
    file: str, columns: tuple[str, str], number: int, data: bytes | None, label: int | None
) -> Row:
    image, name = (f"{file}: column {column!r}, row {number}" for column in columns)
    if label is None or label < 0:
        raise ValueError(f"{name}: label {label}, but labels must be integers from 0")
    return Row(name, Encoded(image, data), label)


def _column(file: str, schema: pa.Schema, role: str, wanted: str | None) -> str:
    """Name the column of a role: the one that is wanted, the only one of its type, or the usual."""
    fits = _is_image if role == "image" else _is_label
    usual = _IMAGES if role == "image" else _LABELS
    fitting = [field.name for field in schema if fits(field.type)]
    candidates = [wanted] if wanted else [*usual, *(fitting if len(fitting) == 1 else ())]
    for name in candidates:
        if name in fitting:
            return name
    kind = "struct with the field bytes" if role == "image" else "integer"
    raise ValueError(
        f"{file}: no {role} column {wanted or 'was found'}: it must be of type {kind}; the option "
        f"{role} names it. {_listed(schema.names, fitting)}"
    )


def _listed(names: Sequence[str], fitting: Sequence[str]) -> str:
    return f"Of the columns {', '.join(names) or '-'}, of that type: {', '.join(fitting) or 'none'}"


def _is_image(kind: pa.DataType) -> bool:
    if not isinstance(kind, pa.StructType) or kind.get_field_index("bytes") < 0:
        return False
    return pa.types.is_binary(kind.field("bytes").type) or pa.types.is_large_binary(
        kind.field("bytes").type
    )


def _is_label(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind)
