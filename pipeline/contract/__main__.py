"""``python -m pipeline.contract``."""

from pipeline.cli.run import run
from pipeline.contract.command import main

run(main)
