"""Read Parquet files of images, in a local folder or at a URI that fsspec knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from pipeline.data._decode import Encoded
from pipeline.data._labels import Label, class_names

_LABELS = ("label", "labels", "fine_label")
_IMAGES = ("img", "image")


class Rows(NamedTuple):
    """The samples of one file as stored."""

    images: list[Encoded]
    labels: list[Label]
    names: list[str] | None
    """Of the classes, where the file tells them."""


def read_rows(system: AbstractFileSystem, file: str, image: str | None, label: str | None) -> Rows:
    """Read one shard; ``image`` and ``label`` name its columns, or are found.

    Raises:
        ValueError: naming the file and the column, and the row (counted from 0).
    """
    try:
        with system.open(file, "rb") as handle:
            parquet = pq.ParquetFile(handle)
            schema = parquet.schema_arrow
            image = _column(file, schema, "image", image)
            label = _column(file, schema, "label", label)
            table = parquet.read(columns=[image, label])
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{file}: not a whole Parquet file ({error})") from error
    images = [value and value["bytes"] for value in table[image].to_pylist()]
    return Rows(
        [Encoded(_name(file, image, i), data) for i, data in enumerate(images)],
        [Label(_name(file, label, i), value) for i, value in enumerate(table[label].to_pylist())],
        class_names(schema, label),
    )


def _name(file: str, column: str, row: int) -> str:
    return f"{file}: column {column!r}, row {row}"


def _column(file: str, schema: pa.Schema, role: str, wanted: str | None) -> str:
    """Name the column of a role: the one that is wanted, the only one of its type, or the usual."""
    usual = _IMAGES if role == "image" else _LABELS
    kinds = (_is_image,) if role == "image" else (pa.types.is_integer, _is_word)
    fitting = [_fitting(schema, kind) for kind in kinds]
    every = [name for names in fitting for name in names]
    only = next((names for names in fitting if names), [])  # the only integers, else words
    candidates = [wanted] if wanted else [*usual, *(only if len(only) == 1 else ())]
    for name in candidates:
        if name in every:
            return name
    kind = "struct with the field bytes" if role == "image" else "integer or string"
    raise ValueError(
        f"{file}: no {role} column {wanted or 'was found'}: it must be of type {kind}; the option "
        f"{role} names it. {_listed(schema.names, every)}"
    )


def _fitting(schema: pa.Schema, fits: Callable[[pa.DataType], bool]) -> list[str]:
    return [field.name for field in schema if fits(field.type)]


def _listed(names: Sequence[str], fitting: Sequence[str]) -> str:
    return f"Of the columns {', '.join(names) or '-'}, of that type: {', '.join(fitting) or 'none'}"


def _is_image(kind: pa.DataType) -> bool:
    if not isinstance(kind, pa.StructType) or kind.get_field_index("bytes") < 0:
        return False
    return pa.types.is_binary(kind.field("bytes").type) or pa.types.is_large_binary(
        kind.field("bytes").type
    )


def _is_word(kind: pa.DataType) -> bool:
    values = kind.value_type if isinstance(kind, pa.DictionaryType) else kind
    return pa.types.is_string(values) or pa.types.is_large_string(values)
