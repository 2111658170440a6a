"""``python -m pipeline.catalog``."""

from pipeline.catalog.registry import main
from pipeline.cli.run import run

run(main)
