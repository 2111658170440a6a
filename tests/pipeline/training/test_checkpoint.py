"""A trial that goes on from a checkpoint finds what one that was never interrupted finds."""

from __future__ import annotations

import hashlib
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.catalog import registry as catalog
from pipeline.spec.read import Cell, Resources
from pipeline.store.store import Store, StoreError
from pipeline.training import loop as training
from pipeline.training.checkpoint import Checkpoints, decode, encode
from pipeline.trial.run import run_trial
from tests.helpers.stores.cells import IMAGES, REGRESSION, cell, parts_of
from tests.helpers.training.fixtures import OPTIONS

CPU = torch.device("cpu")
PROBES = {
    "gradient_ics": {"every": 2},
    "moment_ics": {"every": 2},
    "landscape": {"at": [0, 3], "lengths": 2},
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "results"))


# The archive --------------------------------------------------------------------------------------


def test_what_is_written_comes_back() -> None:
    images = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    content = {
        "words": ["a", "größer"],
        "numbers": [1, 2.5, True, None, math.inf, 0.1 + 0.2],
        "pair": (1, ("x",)),
        "by number": {0: {"momentum": torch.randn(3)}, 1: {}},
        "tensors": [images, torch.tensor(7), torch.empty(0, 3), torch.ones(2, dtype=torch.bool)],
        "half": torch.randn(3).bfloat16(),
        "exact": torch.tensor([math.nan, 1e-310], dtype=torch.float64),
    }
    found = decode(encode(content), CPU)
    plain = {key: content[key] for key in ("words", "numbers", "pair")}
    assert {key: found[key] for key in plain} == plain
    assert [type(each) for each in found["numbers"]] == [type(each) for each in content["numbers"]]
    assert list(found["by number"]) == [0, 1]
    for before, after in zip(
        [*content["tensors"], content["half"], content["exact"]],
        [*found["tensors"], found["half"], found["exact"]],
        strict=True,
    ):
        assert (before.dtype, before.shape, before.stride()) == (
            after.dtype,
            after.shape,
            after.stride(),
        )
        assert torch.equal(before.nan_to_num(5), after.nan_to_num(5))


def test_a_part_of_a_large_tensor_is_saved_without_the_rest() -> None:
    assert len(encode({"part": torch.zeros(1_000_000)[:10]})) < 10_000


def test_a_number_that_is_none_is_no_number() -> None:
    assert math.isnan(decode(encode({"x": math.nan}), CPU)["x"])


def test_what_is_no_data_is_refused() -> None:
    with pytest.raises(TypeError, match="a set cannot be in a checkpoint"):
        encode({"memory": {1, 2}})


def hostile() -> bytes:
    """With the right digest, and code in it."""
    sink = io.BytesIO()
    torch.save({"path": Path("x")}, sink)
    return hashlib.sha256(sink.getvalue()).digest() + sink.getvalue()


WHOLE = encode({"weights": torch.arange(100.0)})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive",
        WHOLE[:-1],
        WHOLE[: len(WHOLE) // 2],
        WHOLE.replace(np.float32(5).tobytes(), np.float32(6).tobytes()),
        hostile(),
    ],
)
def test_a_damaged_or_hostile_checkpoint_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(data, CPU)


# Going on -----------------------------------------------------------------------------------------


class Killed(Checkpoints):
    """Saves after some steps, after which the process is gone."""

    after = 2

    def due(self) -> bool:
        self.after -= 1
        return self.after == 0

    def save(self, state: Any) -> None:
        super().save(state)
        raise KeyboardInterrupt


def digests(cell: Cell, store: Store, device: str = "cpu") -> dict[str, str]:
    result = run_trial(cell, store, device)
    return {name: file["sha256"] for name, file in result["records"].items()}


def kill_half_way(
    cell: Cell, store: Store, monkeypatch: pytest.MonkeyPatch, device: str = "cpu"
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("pipeline.training.checkpoint.Checkpoints", Killed)
        with pytest.raises(KeyboardInterrupt):
            run_trial(cell, store, device)


RESNET = {"name": "resnet", "depth": 8, "width": 0.25}
NORMALIZERS = sorted(catalog.parts("normalizers"))


def changes(normalizer: str) -> dict[str, Any]:
    """Every optimizer with state, one after the other over the normalizers."""
    optimizers = ({"momentum": 0.9}, {"optimizer": "adam"}, {"optimizer": "adamw"})
    return optimizers[NORMALIZERS.index(normalizer) % 3]


@pytest.mark.sampled("batch", "noisy_batch", "spectral_norm")
@pytest.mark.parametrize("normalizer", NORMALIZERS)
def test_a_resumed_trial_is_bit_for_bit_the_uninterrupted_one(
    normalizer: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parameters, buffers, momentum, and what a normalizer may hold besides."""
    few_channels = {"name": normalizer, **OPTIONS.get(normalizer, {})}
    parts = {**IMAGES, "architecture": RESNET, "normalizer": few_channels}
    training_changes = {"steps": 4, "batch_size": 256, "evaluate_samples": 8}
    images = cell(parts, **training_changes, **changes(normalizer))
    kill_half_way(images, store, monkeypatch)
    assert store.read_side_file(images.cell_id, "checkpoint.pt")
    taken: list[int] = []
    step = training._Loop._step

    def counted(self: Any, number: int) -> None:
        taken.append(number)
        step(self, number)

    monkeypatch.setattr(training._Loop, "_step", counted)
    resumed = digests(images, store)
    assert taken == [2, 3]
    assert resumed == digests(images, Store(str(tmp_path / "whole")))
    assert store.read_side_file(images.cell_id, "checkpoint.pt") is None


def test_probes_go_on_with_their_records_and_their_memory(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = cell({**IMAGES, "normalizer": "noisy_batch"}, steps=6, probes=PROBES)
    kill_half_way(images, store, monkeypatch)
    result = run_trial(images, store, "cpu")
    assert set(result["cost"]["probe_seconds"]) == set(PROBES)
    resumed = {name: file["sha256"] for name, file in result["records"].items()}
    assert resumed == digests(images, Store(str(tmp_path / "whole")))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_resumed_trial_on_a_gpu_is_bit_for_bit_the_uninterrupted_one(
    optimizer: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = cell({**IMAGES, "architecture": RESNET}, steps=5, optimizer=optimizer, probes=PROBES)
    kill_half_way(images, store, monkeypatch, "cuda")
    resumed = digests(images, store, "cuda")
    assert resumed == digests(images, Store(str(tmp_path / "whole")), "cuda")


def test_every_probe_s_memory_fits_a_checkpoint(store: Store) -> None:
    """What a probe keeps between steps must be numbers, words, tensors, and nests of them."""
    probes = {name: {"every": 1} for name in catalog.parts("probes")}
    images = cell(IMAGES, steps=3, batch_size=16, probes=probes)
    saved: list[Any] = []
    keeper = Checkpoints(store, images.cell_id, 0.0, {})
    keeper.save = saved.append  # type: ignore[method-assign]
    training.train(images.settings, *parts_of(images), keeper)
    assert len(saved) == 2
    for state in saved:
        encode(state)


def test_a_checkpoint_of_another_machine_or_code_is_ignored_in_words(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    small = cell(REGRESSION)
    kill_half_way(small, store, monkeypatch)
    whole = Checkpoints(store, small.cell_id, 60.0, {"commit": "another"})
    assert whole.load(CPU) is None
    assert "its checkpoint is ignored: made by" in caplog.text


def test_a_checkpoint_of_edited_code_is_ignored(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The commit is the same, and the tree is as dirty as before."""
    small = cell(REGRESSION)
    kill_half_way(small, store, monkeypatch)
    monkeypatch.setattr(
        "pipeline.trial.source_digest.source_digests", lambda _: {"training": "new"}
    )
    run_trial(small, store, "cpu")
    assert "its checkpoint is ignored: made by" in caplog.text


def test_a_damaged_checkpoint_is_ignored_in_words(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small = cell(REGRESSION)
    store.write_side_file(small.cell_id, "checkpoint.pt", WHOLE[:-7])
    assert digests(small, store) == digests(small, Store(str(tmp_path / "whole")))
    assert "its checkpoint is ignored: damaged" in caplog.text


def test_a_checkpoint_that_cannot_be_written_stops_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(cell_id: str, name: str, data: bytes) -> None:
        raise StoreError("checkpoint.pt: cannot be written: No space left on device")

    monkeypatch.setattr(store, "write_side_file", full)
    small = cell(REGRESSION)
    result = run_trial(small, store, "cpu", Resources(checkpoint_minutes=1e-9))
    assert result["status"] == "ok"
    assert "no checkpoint: checkpoint.pt: cannot be written" in caplog.text


def test_time_before_a_checkpoint_counts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    small = cell(REGRESSION, steps=50)
    kill_half_way(small, store, monkeypatch)
    saved = decode(store.read_side_file(small.cell_id, "checkpoint.pt") or b"", CPU)
    saved["state"]["earlier_seconds"] = 1000.0
    store.write_side_file(small.cell_id, "checkpoint.pt", encode(saved))
    result = run_trial(small, store, "cpu", Resources(time_limit=900))
    assert result["cost"]["seconds"] > 1000
    assert (result["status"], result["summary"]["steps"]) == ("time_limit", 3)


# The time limit -----------------------------------------------------------------------------------


def test_a_cell_that_its_time_limit_cuts_is_a_result_of_what_it_did(store: Store) -> None:
    long = cell(REGRESSION, steps=10_000_000, evaluate_every=10_000_000)
    result = run_trial(long, store, "cpu", Resources(time_limit=0.3))
    assert result["status"] == "time_limit"
    assert 1 <= result["summary"]["steps"] < 10_000_000
    assert result["summary"]["validation_loss"] is None
    table = store.records(result, "training")
    assert table is not None
    assert table["validation_loss"].to_pylist()[-1] is not None
    assert table["step"].to_pylist()[-1] == result["summary"]["steps"]


def test_a_cell_that_diverges_is_diverged_whatever_its_time(store: Store) -> None:
    wild = cell(REGRESSION, steps=1000, lr=1e30)
    result = run_trial(wild, store, "cpu", Resources(time_limit=1e-9))
    assert result["status"] in ("diverged", "time_limit")
    assert result["summary"]["validation_loss"] is None
