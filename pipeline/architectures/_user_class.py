"""A module class of a file that is not ours: ``my_net.py:Net``."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from torch import nn

from pipeline.catalog import file_of_class
from pipeline.cli import did_you_mean, quoted


def user_class(path: str) -> type[nn.Module]:
    """Import the file and return the class.

    Args:
        path: ``FILE.py:CLASS``.

    Raises:
        ValueError: if the file cannot be imported, or has no module class of that name.
    """
    file, name = file_of_class(path)
    found = vars(_imported(Path(file)))
    classes = [key for key, each in found.items() if _is_network(each)]
    if name not in classes:
        hint = did_you_mean(name, classes) if classes else "it has none"
        raise ValueError(f"{file} has no nn.Module class {quoted(name)}; {hint}")
    return found[name]


def _is_network(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, nn.Module)


def _imported(file: Path) -> ModuleType:
    """The file as a module; other content has another name, so that an edited file is read."""
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    except OSError as error:
        problem = error.strerror or str(error)
        raise ValueError(f"{file} cannot be read: {problem}; path is FILE.py:CLASS") from error
    name = f"normscope_module_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ValueError(f"{file} is no Python file; path is FILE.py:CLASS")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the file raises, it is at fault
        del sys.modules[name]
        raise ValueError(f"{file} cannot be imported: {type(error).__name__}: {error}") from error
    return module
