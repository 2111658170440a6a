"""``python -m pipeline.trial``."""

from pipeline.cli import run
from pipeline.trial.command import main

run(main)
