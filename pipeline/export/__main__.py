"""``python -m pipeline.export``."""

from pipeline.cli.run import run
from pipeline.export.command import main

run(main)
