"""Runs of a user's loop appear in the report and in MLflow like a sweep's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import normscope
from analysis.report.command import main as report
from pipeline.monitor.monitor import Monitor
from pipeline.sweep.command import main as sweep
from tests.pipeline.monitor.networks import LOSS, plain

PROBES = {"gradient_ics": {"every": 2}, "landscape": {"every": 2}, "moment_ics": {"every": 1}}


class Net(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(1, 4, 3), norm, nn.ReLU()
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.act(self.norm(self.conv(x))).mean((2, 3)))


def study(storage: Path) -> list[str]:
    ids = []
    for name, norm in (("batch", nn.BatchNorm2d(4)), ("mine", nn.GroupNorm(2, 4))):
        for seed in (0, 1):
            torch.manual_seed(seed)
            network = Net(norm)
            monitor = Monitor(
                network,
                LOSS,
                probes=PROBES,
                name="my-study",
                labels={"normalizer": name, "data": "blobs", "lr": 0.05, "seed": seed},
                storage=str(storage),
            )
            plain(network, monitor, steps=6)
            ids.append(monitor.finish(test_accuracy=0.4 + 0.1 * seed, test_loss=1.0))
    return [cell_id for cell_id in ids if cell_id]


@pytest.mark.slow
def test_a_study_is_reported_and_mirrored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = study(tmp_path / "results")
    out = tmp_path / "report"
    monkeypatch.chdir(tmp_path)
    assert sweep(["my-study", "--sync", "--storage", str(tmp_path / "results")]) == 0
    assert "4 runs" in capsys.readouterr().out
    assert report(["my-study", "--storage", str(tmp_path / "results"), "--out", str(out)]) == 0
    assert "attached in MLflow to the summary run of: my-study" in capsys.readouterr().out
    page = (out / "report.md").read_text()
    assert "mine" in page
    assert "own loop (4 cells): probe batches are samples of the first step's batch" in page
    results = json.loads((out / "results.json").read_text())
    assert results["runs"]["value"] == 4

    found = normscope.load(str(tmp_path / "results"), sweeps=["my-study"])
    assert set(found.runs["normalizer"]) == {"batch", "mine"}
    assert len(found.records["training"]) == 4 * 7
    assert found.notes == []  # each run made a plan that has one cell more: no other plans

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'results' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("my-study")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`normscope.kind` = 'cell'")
    assert {run.data.tags["cell_id"] for run in runs} == set(ids)
    assert {run.data.params["normalizer"] for run in runs} == {"batch", "mine"}
