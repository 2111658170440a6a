"""The numbers and pictures of README and docs/findings.md: python -m benchmarks.findings.

Makes the report of each study file below docs/studies, and writes what the pages name of it into
them. `tests/test_findings.py` checks that nothing is to be done.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from tests.helpers.doc_blocks import PAGES, pictures, renewed, reports_below


def main() -> None:
    """Renew the pages."""
    argparse.ArgumentParser("python -m benchmarks.findings", description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        reports = reports_below(Path(folder))
        for page in PAGES:
            page.write_text(renewed(page.read_text(), reports))
            for file, study, name in pictures(page):
                file.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(reports[study] / "figures" / f"{name}.svg", file)


if __name__ == "__main__":
    main()
