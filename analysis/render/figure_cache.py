"""Figures drawn earlier from the same cells, by the same code, with the same seed."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from analysis.load import cache_file, sealed
from analysis.study.study import Study
from pipeline.store.atomic_write import write_atomic


class Drawings:
    """Images kept in a folder; ``None`` keeps nothing. Only the last report's are kept."""

    def __init__(self, folder: Path | None, study: Study, seed: int) -> None:
        self.folder, self.key = folder, _key(study, seed) if folder else ""
        self.used: set[Path] = set()

    def take(self, name: str) -> dict[str, bytes] | None:
        """A figure's images by format; None where they are not kept, or are damaged."""
        path = self._path(name)
        if path is None:
            return None
        try:
            data = path.read_bytes()
            head = sealed.said(data)
            content = sealed.content(data, head)
            places = head["images"].items()
            return {kind: bytes(content[start:end]) for kind, (start, end) in places}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def keep(self, name: str, images: dict[str, bytes]) -> None:
        """Keep a figure's images."""
        path = self._path(name)
        if path is None:
            return
        content, places = b"".join(images.values()), {}
        start = 0
        for kind, image in images.items():
            places[kind] = [start, start + len(image)]
            start += len(image)
        write_atomic(str(path.absolute()), sealed.sealed({"images": places}, content))

    def tidy(self) -> None:
        """Remove the images that this report does not have."""
        for path in self.folder.glob("*.figure") if self.folder else []:
            if path not in self.used:
                path.unlink(missing_ok=True)

    def _path(self, name: str) -> Path | None:
        if self.folder is None:
            return None
        path = self.folder / f"{hashlib.sha256(f'{self.key} {name}'.encode()).hexdigest()}.figure"
        self.used.add(path)
        return path


def _key(study: Study, seed: int) -> str:
    """Digest of all that the figures are drawn from."""
    sha = hashlib.sha256(f"{cache_file.reader()} {seed} {version('matplotlib')}".encode())
    for frame in (study.planned, study.runs):
        sha.update(json.dumps(list(frame.columns)).encode())
        sha.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return sha.hexdigest()
