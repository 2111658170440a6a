"""``python -m analysis.report``."""

from analysis.report.command import main
from pipeline.command import run

run(main)
