"""``python -m pipeline.trial``."""

from pipeline.cli.run import run
from pipeline.trial.run import main

run(main)
