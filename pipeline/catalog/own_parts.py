"""Folders of parts that are not ours: a sweep file's ``parts``, NORMSCOPE_PARTS, entry points.

A folder has ``normalizers/``, ``architectures/``, ``data/``, ``optimizers/`` and ``probes/``, any
of them, with files as in our own folders; its parts are called ``PREFIX/NAME``. Its Python files
are read once, when it is named. What was read is what counts: its digest enters the cells' ids, and
its text goes to every worker, which imports that and nothing else. Files of a folder import one
another by relative imports.
"""

from __future__ import annotations

import ast
import atexit
import hashlib
import importlib.machinery
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from types import ModuleType

from pipeline.cli import SpecError, quoted

KINDS = ("data", "architectures", "normalizers", "optimizers", "probes")
VARIABLE = "NORMSCOPE_PARTS"
"""Folders, separated as in PATH: each a path, or PREFIX=path."""
GROUP = "normscope.parts"
"""Entry points of installed packages: the name is the prefix, the value a package's name."""
_PREFIX = re.compile(r"[a-z][a-z0-9_]{0,31}")
_RESERVED = ("torchvision", "timm")


@dataclass(frozen=True, eq=False)
class Folder:
    """A folder of parts, as it was read."""

    prefix: str
    files: Mapping[str, str]
    """Text of its Python files by their paths within it, sorted."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Files that could not be read, with the reason; workers are not given them."""

    @cached_property
    def digest(self) -> str:
        """16 hex digits of the sha256 of all files and their names."""
        return _digest(self.files, self.files)

    @property
    def package(self) -> str:
        """The name under which its files are imported: other content has another name."""
        return f"normscope_parts_{self.prefix}_{self.digest}"


_used: dict[str, Folder] = {}
"""By prefix: the folders that a sweep file, or a job, has named in this process."""
_of_driver = False
"""Whether these are a driver's, and so all that there are."""


def folders() -> dict[str, Folder]:
    """All folders by prefix: those in use, those of the environment, those of packages."""
    if _of_driver:
        return _used
    return {
        **_folders_in_packages(),
        **_folders_in_environment(os.environ.get(VARIABLE, "")),
        **_used,
    }


def use(given: object, beside: Path, where: str = "parts") -> None:
    """Use a sweep file's folders, and no longer those of another sweep file.

    Args:
        given: a list of paths, or a mapping of prefixes to paths.
        beside: the folder that relative paths start from.
        where: the key path, for errors.

    Raises:
        SpecError: if it is something else, or a folder is missing or has no parts.
    """
    global _of_driver
    _of_driver = False
    _used.clear()
    if isinstance(given, list):
        named = [(None, path, f"{where}[{i}]") for i, path in enumerate(given)]
    elif isinstance(given, Mapping):
        named = [(prefix, path, f"{where}.{prefix}") for prefix, path in given.items()]
    else:
        raise SpecError(f"must be a list of folders, or prefix: folder, not {quoted(given)}", where)
    for prefix, path, key in named:
        if not isinstance(path, str):
            right = ""
            if isinstance(path, Mapping):
                right = "; a prefix stands in a mapping, not in a list: parts: {mine: ./folder}"
            raise SpecError(f"must be a folder's path, not {quoted(path)}{right}", key)
        folder = _read(prefix, beside / Path(path).expanduser(), key)
        if folder.prefix in _used:
            raise SpecError(f"two folders are called {folder.prefix}; give prefixes", key)
        _used[folder.prefix] = folder


def snapshot() -> dict[str, dict[str, str]]:
    """The text of all folders, for workers."""
    return {prefix: dict(folder.files) for prefix, folder in folders().items()}


def install(texts: Mapping[str, Mapping[str, str]]) -> None:
    """Use, in a worker, the folders that a driver has read, and no others."""
    global _of_driver
    _of_driver = True
    _used.clear()
    _used.update({prefix: Folder(prefix, dict(files)) for prefix, files in texts.items()})


def part_digest(folder: Folder, file: str) -> str:
    """Digest of a part's file and of all files of its folder that it imports."""
    return _digest(folder.files, reached(folder.files, file))


def write(files: Mapping[str, str], root: Path) -> None:
    """Write the files of a folder below ``root``."""
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def importable(folder: Folder) -> str:
    """Make a folder's files importable, from what was read of them; gives the package's name."""
    if folder.package not in sys.modules:
        root = Path(tempfile.mkdtemp(prefix="normscope-parts-"))
        atexit.register(shutil.rmtree, root, ignore_errors=True)
        write(folder.files, root)
        module = ModuleType(folder.package)
        module.__path__ = [str(root)]
        module.__spec__ = importlib.machinery.ModuleSpec(folder.package, None, is_package=True)
        module.__spec__.submodule_search_locations = [str(root)]
        sys.modules[folder.package] = module
    return folder.package


@cache
def _folders_in_environment(value: str) -> dict[str, Folder]:
    found: dict[str, Folder] = {}
    for word in filter(None, value.split(os.pathsep)):
        prefix, equals, path = word.rpartition("=")
        folder = _read(prefix if equals else None, Path(path).expanduser(), VARIABLE)
        found[folder.prefix] = folder
    return found


@cache
def _folders_in_packages() -> dict[str, Folder]:
    found: dict[str, Folder] = {}
    for entry in entry_points(group=GROUP):
        spec = find_spec(entry.value)
        places = list(spec.submodule_search_locations or ()) if spec else []
        if not places:
            raise SpecError(f"entry point {entry.name} = {entry.value}: no such package", GROUP)
        found[entry.name] = _read(entry.name, Path(places[0]), GROUP)
    return found


def _read(prefix: str | None, path: Path, where: str) -> Folder:
    name = path.resolve().name if prefix is None else prefix
    if not _PREFIX.fullmatch(name) or name in _RESERVED:
        raise SpecError(
            f"{quoted(name)} is no prefix of parts: a-z, 0-9 and _, from a letter on, and not "
            f"{' or '.join(_RESERVED)}; give prefix: folder",
            where,
        )
    if not path.is_dir():
        raise SpecError(f"{path}: no such folder", where)
    files, unreadable = _texts(path)
    if not any(PurePosixPath(file).parts[0] in KINDS for file in {**files, **unreadable}):
        raise SpecError(f"{path}: has no files in {', '.join(f'{kind}/' for kind in KINDS)}", where)
    return Folder(name, files, unreadable)


def _texts(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The text of each Python file that a relative import can reach, and why some have none."""
    files: dict[str, str] = {}
    unreadable: dict[str, str] = {}
    for file in sorted(path.rglob("*.py")):
        within = file.relative_to(path)
        if file.is_dir() or any(part.startswith(".") for part in within.parts):
            continue
        try:
            files[within.as_posix()] = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            unreadable[within.as_posix()] = "is no text in UTF-8"
        except OSError as error:
            unreadable[within.as_posix()] = f"cannot be read: {error.strerror}"
    return files, unreadable


def _digest(files: Mapping[str, str], names: Sequence[str] | Mapping[str, str] | set[str]) -> str:
    sha = hashlib.sha256()
    for name in sorted(names):
        sha.update(f"{name} {hashlib.sha256(files[name].encode()).hexdigest()}\n".encode())
    return sha.hexdigest()[:16]


def reached(files: Mapping[str, str], start: str) -> set[str]:
    """A file of a folder, and all files of it that this one imports, directly or not."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [other for other in _imports(name, files[name]) if other in files]
    return found


def _imports(file: str, text: str) -> Iterator[str]:
    """Files that a file may import by relative imports, and the packages that hold it."""
    package = PurePosixPath(file).parent
    for holder in (package, *package.parents):
        yield (holder / "__init__.py").as_posix()
    for node in ast.walk(ast.parse(text, filename=file)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package
            for _ in range(node.level - 1):
                base = base.parent
            module = base.joinpath(*(node.module or "").split("."))
            for path in (module, *(module / alias.name for alias in node.names)):
                yield from (f"{path.as_posix()}.py", (path / "__init__.py").as_posix())
