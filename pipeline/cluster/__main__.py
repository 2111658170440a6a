"""``python -m pipeline.cluster``."""

from pipeline.cluster.job import main
from pipeline.command import run

run(main)
