"""``python -m pipeline.sweep``."""

from pipeline.cli.run import run
from pipeline.sweep.command import main

run(main)
