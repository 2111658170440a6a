"""``python -m pipeline.cluster``."""

from pipeline.cli.run import run
from pipeline.cluster.job import main

run(main)
