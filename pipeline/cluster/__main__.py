"""``python -m pipeline.cluster``."""

from pipeline.cli.run import run
from pipeline.cluster.command import main

run(main)
