"""``python -m pipeline.export``."""

from pipeline.cli import run
from pipeline.export.command import main

run(main)
