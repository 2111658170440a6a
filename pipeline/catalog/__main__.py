"""``python -m pipeline.catalog``."""

from pipeline.catalog.registry import main
from pipeline.command import run

run(main)
