"""``python -m analysis.report``."""

from analysis.report.command import main
from pipeline.cli import run

run(main)
