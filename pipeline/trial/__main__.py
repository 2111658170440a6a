"""``python -m pipeline.trial``."""

from pipeline.command import run
from pipeline.trial.run import main

run(main)
