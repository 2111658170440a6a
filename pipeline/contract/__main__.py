"""``python -m pipeline.contract``."""

from pipeline.cli import run
from pipeline.contract.command import main

run(main)
