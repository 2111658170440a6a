"""``python -m analysis.report``."""

from analysis.report.command import main
from pipeline.cli.run import run

run(main)
