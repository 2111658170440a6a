"""The registry: the parts in the folders, their options, and the check of given values."""

from pipeline.catalog import own_parts, registry
from pipeline.catalog.class_path import PARTS, file_of_class
from pipeline.catalog.declarations import POSITIONAL, Option, Part
from pipeline.catalog.registry import find, parts, resolve

__all__ = [
    "PARTS",
    "POSITIONAL",
    "Option",
    "Part",
    "file_of_class",
    "find",
    "own_parts",
    "parts",
    "registry",
    "resolve",
]
