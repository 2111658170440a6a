"""``python -m pipeline.cluster``."""

from pipeline.cli import run
from pipeline.cluster.command import main

run(main)
