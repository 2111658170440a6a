"""``python -m pipeline.sweep``."""

from pipeline.command import run
from pipeline.sweep.command import main

run(main)
