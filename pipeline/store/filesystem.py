"""Files below a root, on a disk or in object storage: each appears whole or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.spec.read import SCHEMA
from pipeline.store.atomic_write import write_whole

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class StoreError(ValueError):
    """A file of the store is missing, damaged or of another schema; the message names it."""


class Files:
    """Files at ``root``: a local folder or an fsspec URI (``s3://bucket/folder``)."""

    def __init__(self, root: str) -> None:
        try:
            filesystem, path = fsspec.url_to_fs(root)
        except (ImportError, ValueError) as error:
            raise StoreError(f"{root}: not a place for a store: {error}") from None
        self.filesystem: fsspec.AbstractFileSystem = filesystem
        self.root = path.rstrip("/")
        self.uri = self.root if isinstance(filesystem, LocalFileSystem) else root
        """Where the store is, for any process: a local folder's absolute path, or the URI."""

    def _full(self, path: str) -> str:
        return f"{self.root}/{path}"

    def _find(self, folder: str) -> list[str]:
        self.filesystem.invalidate_cache()
        return list(self.filesystem.find(self._full(folder)))

    def _exists(self, path: str) -> bool:
        self.filesystem.invalidate_cache()
        return self.filesystem.exists(self._full(path))

    def _read(self, path: str) -> bytes:
        try:
            data = self.filesystem.cat_file(self._full(path))
        except FileNotFoundError:
            raise StoreError(f"{self._full(path)}: no such file in the store") from None
        assert isinstance(data, bytes)
        return data

    def _read_json(self, path: str) -> dict[str, Any]:
        try:
            content = json.loads(self._read(path))
        except ValueError as error:
            if isinstance(error, StoreError):
                raise
            raise StoreError(f"{self._full(path)}: damaged, not JSON ({error})") from None
        schema = content.get("schema") if isinstance(content, dict) else None
        if schema != SCHEMA:
            raise StoreError(f"{self._full(path)}: schema {schema}, this version reads {SCHEMA}")
        return content

    def _write(self, path: str, data: bytes) -> None:
        full = self._full(path)
        try:
            if isinstance(self.filesystem, LocalFileSystem):
                write_whole(full, data)
            else:
                self.filesystem.pipe_file(full, data)  # object stores publish an object whole
        except OSError as error:
            problem = error.strerror or error
            raise StoreError(f"{full}: cannot be written: {problem}") from None

    def _remove(self, path: str) -> None:
        full = self._full(path)
        try:
            with suppress(FileNotFoundError):
                self.filesystem.rm_file(full)
        except OSError as error:
            raise StoreError(f"{full}: cannot be removed: {error.strerror or error}") from None


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """Encode strictly: a NaN in a result is a bug of its writer, not a value."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def checked(name: str) -> str:
    """Refuse a name that could leave the store's root."""
    if not _NAME.fullmatch(name.removesuffix(".json").removesuffix(".parquet")):
        raise StoreError(f"{name!r}: not a name in a store (a-z, 0-9, _ and -, at most 64)")
    return name
