"""The numbers and pictures of README and docs/findings.md: python -m benchmarks.findings.

Makes the report of each study file below docs/studies, and writes what the pages name of it into
them. `tests/test_findings.py` checks that nothing is to be done.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from analysis.report.command import main as report
from tests.helpers.doc_blocks import PAGES, STUDIES, pictures, renewed


def main(arguments: list[str] | None = None) -> int:
    """Renew the pages."""
    argparse.ArgumentParser("python -m benchmarks.findings", description=__doc__).parse_args(
        arguments
    )
    with tempfile.TemporaryDirectory() as folder:
        reports = {}
        for study in sorted(STUDIES.glob("*.study")):
            reports[study.stem] = Path(folder, study.stem)
            if code := report(["--from", str(study), "--out", str(reports[study.stem])]):
                return code
        for page in PAGES:
            page.write_text(renewed(page.read_text(), reports))
            for file, study, name in pictures(page):
                file.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(reports[study] / "figures" / f"{name}.svg", file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
