"""``python -m pipeline.trial``."""

from pipeline.cli import run
from pipeline.trial.run import main

run(main)
