"""``python -m pipeline.sweep``."""

from pipeline.cli import run
from pipeline.sweep.command import main

run(main)
