"""From a store, or MLflow alone, to a `Study`."""

from analysis.load.code_digest import code, versions
from analysis.load.progress import with_progress
from analysis.load.reader import Found, Reader
from analysis.load.sources import load, opened
from analysis.load.study_file import read_study, write_study

__all__ = [
    "Found",
    "Reader",
    "code",
    "load",
    "opened",
    "read_study",
    "versions",
    "with_progress",
    "write_study",
]
