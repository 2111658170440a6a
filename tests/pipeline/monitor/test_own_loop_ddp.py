"""Under data parallelism rank 0 measures on its own batch, and says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.store.store import Store
from tests.pipeline.monitor.networks import SIZE

ROOT = Path(__file__).parents[3]


def run(storage: Path, how: str) -> list[list[str]]:
    """What each of two ranks prints."""
    command = [sys.executable, "-m", "tests.pipeline.monitor.ddp_loop"]
    ranks = [
        subprocess.Popen(
            [*command, str(rank), str(storage), how],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    ends = [rank.communicate(timeout=200) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], ends
    return [out.split(maxsplit=2) for out, _ in ends]


@pytest.mark.slow
def test_rank_0_measures_on_its_own_batch_and_says_so(tmp_path: Path) -> None:
    watched, plain = run(tmp_path, "watched"), run(tmp_path, "plain")
    assert watched[0][0] != "None"
    assert watched[1][0] == "None"
    assert {each[1] for each in watched} == {each[1] for each in plain}
    assert all(each[2].startswith("SyncBatchNorm") for each in watched)
    store = Store(str(tmp_path))
    result = store.result(watched[0][0])
    notes = result["provenance"]["own_loop"]["notes"]
    assert f"rank 0 of 2 measured on its own batch of {SIZE}" in notes
    assert store.plan("ddp")["cells"] == [watched[0][0]]
    table = store.records(result, "gradient_ics")
    assert table is not None
    assert table.num_rows == 3 * 6
