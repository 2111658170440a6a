"""The callbacks in docs/ measure a trainer's steps and leave no trace in its training."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import normscope
from tests.pipeline.monitor.networks import LOSS, data

DOCS = Path(__file__).parents[3] / "docs"
pytestmark = pytest.mark.filterwarnings("default")  # of the trainers' packages


class Samples(Dataset[Any]):
    """48 small images, as pairs or as a dictionary."""

    def __init__(self, *, named: bool = False) -> None:
        self.inputs, self.targets = data()
        self.named = named

    def __len__(self) -> int:
        return 48

    def __getitem__(self, index: int) -> Any:
        pair = self.inputs[index], self.targets[index]
        return {"pixel_values": pair[0], "labels": pair[1]} if self.named else pair


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(144, 3))


def check(train: Callable[[list[Any]], nn.Module], file: str, folder: Path) -> None:
    """A training with the callback is bitwise that without it, and its numbers are in the store."""
    probes = {"gradient_ics": {"every": 2}, "landscape": {"every": 2}}
    options = {"probes": probes, "name": "study", "storage": str(folder / "results")}
    options["labels"] = {"normalizer": "batch", "data": "blobs"}
    callback = runpy.run_path(str(DOCS / file))["MonitorCallback"](LOSS, **options)
    measured, plain = train([callback]).state_dict(), train([]).state_dict()
    assert all(torch.equal(plain[key], measured[key]) for key in plain)
    study = normscope.load(str(folder / "results"), "study")
    assert study.runs["steps_done"].tolist() == [4]
    assert study.runs["lr"].tolist() == [0.05]
    training = study.records["training"]
    assert training["train_loss"].notna().sum() == 4
    assert set(study.records["gradient_ics"]["step"]) == {0, 2}
    assert study.records["landscape"]["loss"].notna().all()


def test_lightning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lightning: Any = pytest.importorskip("lightning", reason="lightning is not installed")
    monkeypatch.chdir(tmp_path)

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = network()

        def forward(self, inputs: Tensor) -> Tensor:
            return self.network(inputs)

        def training_step(self, batch: Any, index: int) -> Tensor:
            return LOSS(self(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.05)

    def train(callbacks: list[Any]) -> nn.Module:
        module = Module()
        torch.manual_seed(1)
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = lightning.Trainer(
            max_steps=4, accelerator="cpu", callbacks=callbacks, enable_model_summary=False, **quiet
        )
        trainer.fit(module, DataLoader(Samples(), batch_size=12))
        return module.network

    check(train, "lightning_callback.py", tmp_path)


def test_transformers(tmp_path: Path) -> None:
    transformers: Any = pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("accelerate", reason="accelerate is not installed")

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network()

        def forward(self, pixel_values: Tensor, labels: Tensor | None = None) -> Any:
            logits = self.network(pixel_values)
            loss = None if labels is None else LOSS(logits, labels)
            return transformers.utils.ModelOutput(loss=loss, logits=logits)

    def train(callbacks: list[Any]) -> nn.Module:
        model = Model()
        settings = transformers.TrainingArguments(
            output_dir=str(tmp_path / "out"),
            max_steps=4,
            per_device_train_batch_size=12,
            learning_rate=0.05,
            lr_scheduler_type="constant",
            optim="sgd",
            report_to=[],
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
        )
        trainer = transformers.Trainer(model, settings, train_dataset=Samples(named=True))
        for callback in callbacks:
            trainer.add_callback(callback)
        trainer.train()
        return model.network

    check(train, "transformers_callback.py", tmp_path)
