"""What one would write without normscope: python _plain_tune.py FOLDER SLOTS [MLFLOW_URI]

Plain Ray Tune with its defaults over the cells of ``FOLDER/sweep.yaml``, each trained and saved by
the same code; with a URI, Tune's MLflowLoggerCallback tracks the trials.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray  # noqa: TID251 — the peer
from ray import tune  # noqa: TID251 — the peer
from ray.air.integrations.mlflow import MLflowLoggerCallback  # noqa: TID251 — the peer

from pipeline.spec.read import Cell, read_sweep
from pipeline.store.store import Store
from pipeline.trial.run import run_trial


def main(folder: Path, slots: int, uri: str | None) -> None:
    """Run the cells."""

    def trial(config: dict[str, Any]) -> None:
        result = run_trial(Cell(**config["cell"]), Store(str(folder / "results")), "cpu")
        tune.report({"loss": result["summary"]["final_train_loss"]})

    cells = [asdict(cell) for cell in read_sweep(folder / "sweep.yaml").cells]
    callbacks: list[tune.Callback] = []
    if uri:
        callbacks = [MLflowLoggerCallback(tracking_uri=uri, experiment_name="plain")]
    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    tune.Tuner(
        trial,
        param_space={"cell": tune.grid_search(cells)},
        tune_config=tune.TuneConfig(max_concurrent_trials=slots),
        run_config=tune.RunConfig(storage_path=str(folder / "tune"), callbacks=callbacks),
    ).fit()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), int(sys.argv[2]), sys.argv[3] if sys.argv[3:] else None)
