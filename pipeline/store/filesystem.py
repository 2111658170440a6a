"""Files below a root, on a disk or in object storage: each is written atomically."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.cli import redacted
from pipeline.store.atomic_write import write_atomic, write_first

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

SCHEMA = 3
"""Version of the files' layout and of the record columns; every file has it, no cell id."""


class StoreError(ValueError):
    """A file of the store is missing, damaged or of another schema; the message names it."""


class MissingFileError(StoreError):
    """A file of the store is not there."""


class Files:
    """Files at ``root``: a local folder or an fsspec URI (``s3://bucket/folder``)."""

    def __init__(self, root: str) -> None:
        try:
            filesystem, path = fsspec.url_to_fs(root)
        except (ImportError, ValueError) as error:
            raise StoreError(f"{root}: not a place for a store: {error}") from None
        self.filesystem: fsspec.AbstractFileSystem = filesystem
        self.root = path.rstrip("/")
        self.uri = (self.root or "/") if isinstance(filesystem, LocalFileSystem) else root
        """Where the store is, for any process: a local folder's absolute path, or the URI."""

    def _full(self, path: str) -> str:
        return f"{self.root}/{path}"

    @contextmanager
    def _errors(self, path: str, done: str) -> Iterator[None]:
        """Context manager that turns every error of the file system into a `StoreError`.

        An object store's client raises its own types: botocore's for absent credentials.
        """
        errors = OSError if isinstance(self.filesystem, LocalFileSystem) else Exception
        try:
            yield
        except FileNotFoundError:
            raise
        except errors as error:
            reason = _reason(error)
            raise StoreError(f"{self.uri}/{path}: cannot be {done}: {reason}") from None

    def _find(self, folder: str) -> list[str]:
        with self._errors(folder, "listed"):
            self.filesystem.invalidate_cache()
            return list(self.filesystem.find(self._full(folder)))

    def _exists(self, path: str) -> bool:
        with self._errors(path, "read"):
            self.filesystem.invalidate_cache()
            return self.filesystem.exists(self._full(path))

    def _read(self, path: str) -> bytes:
        try:
            with self._errors(path, "read"):
                data = self.filesystem.cat_file(self._full(path))
        except FileNotFoundError:
            raise MissingFileError(f"{self._full(path)}: no such file in the store") from None
        assert isinstance(data, bytes)
        return data

    def _read_json(self, path: str) -> dict[str, Any]:
        return self._parsed(path, self._read(path))

    def _parsed(self, path: str, data: bytes) -> dict[str, Any]:
        try:
            content = json.loads(data, parse_constant=_refuse_constant)
        except ValueError as error:
            raise StoreError(f"{self._full(path)}: damaged, not JSON ({error})") from None
        schema = content.get("schema") if isinstance(content, dict) else None
        if schema != SCHEMA:
            raise StoreError(f"{self._full(path)}: schema {schema}, this version reads {SCHEMA}")
        return content

    def _write(self, path: str, data: bytes) -> None:
        with self._errors(path, "written"):
            if isinstance(self.filesystem, LocalFileSystem):
                write_atomic(self._full(path), data)
            else:
                self.filesystem.pipe_file(self._full(path), data)  # an object is published whole

    def _write_once(self, path: str, data: bytes) -> None:
        """Write a file, unless there is one: of several that write at once, the first one's stays.

        A file system without hard links, or storage without conditional writes, keeps the last.
        """
        full = self._full(path)
        try:
            with suppress(FileExistsError):
                if isinstance(self.filesystem, LocalFileSystem):
                    write_first(full, data)
                else:
                    self.filesystem.pipe_file(full, data, mode="create")
        except OSError as error:
            problem = error.strerror or error
            raise StoreError(f"{full}: cannot be written: {problem}") from None

    def _remove(self, path: str) -> None:
        with suppress(FileNotFoundError), self._errors(path, "removed"):
            self.filesystem.rm_file(self._full(path))


def _reason(error: Exception) -> str:
    """Why a file system refuses, in one line, and what to do where that is known."""
    if isinstance(error, OSError):
        message = error.strerror or str(error)
    else:
        message = f"{type(error).__name__}: {error}"
    message = " ".join(message.split())
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
        return f"{message}; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    return message


def _refuse_constant(name: str) -> Any:
    """NaN and infinities are no JSON, and nothing here writes them."""
    raise ValueError(f"{name} is no number of JSON")


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """Encode strictly (a NaN in a result is a bug of its writer, not a value), without secrets."""
    text = json.dumps(redacted(content), indent=1, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def validate_name(name: str) -> str:
    """Refuse a name that could leave the store's root."""
    if not _NAME.fullmatch(name.removesuffix(".json").removesuffix(".parquet")):
        raise StoreError(f"{name!r}: not a name in a store (a-z, 0-9, _ and -, at most 64)")
    return name
