"""``python -m pipeline.catalog``."""

from pipeline.catalog.registry import main
from pipeline.cli import run

run(main)
