"""``python -m pipeline.catalog``."""

from pipeline.catalog.command import main
from pipeline.cli import run

run(main)
