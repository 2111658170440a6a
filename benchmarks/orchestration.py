"""What orchestration costs, beside plain Ray Tune: python -m benchmarks.orchestration

The same cells (each sleeps in every training step: work that takes time and no processor) run

- by ``python -m pipeline.sweep``, with results, records and MLflow runs saved;
- by plain Ray Tune with its defaults, which saves a number per trial;
- by plain Ray Tune with its MLflowLoggerCallback.

*Start-up* is from the command to the first step of the first cell. *Overhead* is the wall time from
there to the end, over the sum of the cells' training seconds shared by the slots: 1 is perfect.
*Growth* is that of the driver's resident memory from there on (``--cells 10000 --seconds 0`` shows
it best).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks._faulty import Scene, scene

_STEPS = 20

_PLAIN = """
import json, os, sys, time
import ray
from ray import tune

sys.path.insert(0, os.getcwd())
STORAGE, SLOTS, TRACKING = sys.argv[1], int(sys.argv[2]), sys.argv[3]

def trial(config):
    from pipeline.spec import Cell
    from pipeline.store import Store
    from pipeline.trial import run_trial
    result = run_trial(Cell(**config["cell"]), Store(STORAGE), "cpu")
    tune.report({"loss": result["summary"]["final_train_loss"]})

from pipeline.spec import read_sweep
from dataclasses import asdict
cells = [asdict(cell) for cell in read_sweep("sweep.yaml").cells]
ray.init(address="local", include_dashboard=False, log_to_driver=False)
callbacks = []
if TRACKING != "none":
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    callbacks = [MLflowLoggerCallback(tracking_uri=TRACKING, experiment_name="plain")]
tune.Tuner(
    trial,
    param_space={"cell": tune.grid_search(cells)},
    tune_config=tune.TuneConfig(max_concurrent_trials=SLOTS),
    run_config=tune.RunConfig(storage_path=STORAGE + "-tune", callbacks=callbacks, verbose=0),
).fit()
"""


@dataclass
class Memory:
    """The resident memory of a process while it runs, looked at ten times a second."""

    pid: int
    samples: list[int] = field(default_factory=list)

    def watch(self) -> None:
        """Look until the process is gone."""
        page = os.sysconf("SC_PAGE_SIZE")
        while True:
            try:
                statm = Path(f"/proc/{self.pid}/statm").read_text()
            except OSError:
                return
            self.samples.append(int(statm.split()[1]) * page)
            time.sleep(0.1)

    def growth(self, since: int) -> float:
        """MiB between a sample and the largest one after it."""
        held = [size for size in self.samples[since - 1 :] if size]
        return (max(held) - held[0]) / 2**20 if held else 0.0


def measured(name: str, at: Scene, command: list[str], slots: int) -> list[str]:
    """Run a command to its end; gives the row of the table."""
    environment = {
        **os.environ,
        "STARTS": str(at.starts),
        "OMP_NUM_THREADS": "1",
        "RAY_ADDRESS": "local",
    }
    began = time.time()
    process = subprocess.Popen(
        command, cwd=at.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    memory = Memory(process.pid)
    watching = threading.Thread(target=memory.watch)
    watching.start()
    first = _first_start(at, process)
    looked = len(memory.samples)
    _, error = process.communicate()
    wall = time.time() - first
    watching.join()
    if process.returncode != 0:
        raise RuntimeError(f"{name}: {error.decode()[-2000:]}")
    results = [json.loads(p.read_text()) for p in at.storage.glob("cells/*/result.json")]
    work = sum(result["cost"]["seconds"] for result in results)
    return [
        name,
        str(len(results)),
        f"{first - began:.1f}",
        f"{wall:.1f}",
        f"{wall * slots / work:.3f}",
        f"{memory.growth(looked):.0f}",
    ]


def _first_start(at: Scene, process: subprocess.Popen[bytes]) -> float:
    while not at.starts.exists():
        if process.poll() is not None:
            break
        time.sleep(0.05)
    return time.time()


def again(at: Scene, command: list[str]) -> float:
    """Seconds that the same command takes on a finished sweep."""
    began = time.time()
    environment = {**os.environ, "STARTS": str(at.starts)}
    subprocess.run(command, cwd=at.folder, env=environment, check=True, capture_output=True)
    return time.time() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=2.0, help="that a cell trains for")
    parser.add_argument("--slots", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--ours-only", action="store_true")
    options = parser.parse_args()
    slow = {"name": "slow", "seconds": options.seconds / _STEPS / 2}  # two layers sleep
    print("| | cells | start-up, s | wall after it, s | overhead | driver's growth, MiB |")
    print("|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory(prefix="orchestration-") as place:
        for name, tracking in (("plain Ray Tune", "none"), ("with its MLflow callback", "sqlite")):
            if options.ours_only:
                break
            at = scene(Path(place) / tracking, [slow], options.cells)
            uri = f"sqlite:///{at.folder}/plain.db" if tracking == "sqlite" else "none"
            words = [str(at.storage), str(options.slots), uri]
            print(_row(measured(name, at, [sys.executable, "-c", _PLAIN, *words], options.slots)))
        at = scene(Path(place) / "ours", [slow], options.cells)
        command = [sys.executable, "-m", "pipeline.sweep", "sweep.yaml", "--storage", "results"]
        command += ["--concurrency", str(options.slots)]
        print(_row(measured("normscope", at, command, options.slots)))
        print(f"\nThe same command on the finished sweep: {again(at, command):.1f} s.")


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
