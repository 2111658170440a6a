from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from pipeline.data import Batch, Dataset, Split, Task
from pipeline.data.gaussian import gaussian
from pipeline.seeds import derive
from pipeline.training import batches as batches_module
from pipeline.training.batches import (
    Batches,
    augmentation_draws,
    crop,
    drawn_batch,
    evaluation_batches,
    flip,
    other_batch,
    probe_batch,
)

_SAMPLES = 50
_DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
    ),
]


def _dataset(device: str = "cpu") -> Dataset:
    """Fifty random images; the target of each is its position."""
    generator = Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (70, 3, 16, 8), dtype=torch.uint8, generator=generator)
    return Dataset(
        task=Task(loss="cross_entropy", input_shape=(3, 16, 8), outputs=_SAMPLES),
        train=Split(pixels[:_SAMPLES], torch.arange(_SAMPLES)),
        validation=Split(pixels[:0], torch.arange(0)),
        test=Split(pixels[_SAMPLES:], torch.arange(20)),
        mean=torch.full((3,), 0.5),
        std=torch.full((3,), 0.25),
        digest="",
    ).to(torch.device(device))


def _batches(
    dataset: Dataset, seed: int = 3, size: int | None = 16, augment: Sequence[str] = ()
) -> Batches:
    return Batches(dataset, batch_size=size, augment=augment, seed=seed)


def _equal(first: Batch, second: Batch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("device", _DEVICES)
def test_a_step_has_one_batch_in_any_order_of_access(device: str) -> None:
    dataset = _dataset(device)
    once = _batches(dataset, augment=["crop", "flip"])
    forward = [once.at(step) for step in range(9)]
    torch.manual_seed(5)
    again = _batches(dataset, augment=["crop", "flip"])
    for step in (8, 0, 3, 3, 5, 1, 7):
        assert _equal(again.at(step), forward[step])
        assert again.at(step).inputs.device.type == device


@pytest.mark.parametrize("device", _DEVICES)
def test_every_epoch_is_a_permutation_of_its_own(device: str) -> None:
    batches = _batches(_dataset(device), size=10)
    assert batches.steps_per_epoch == 5
    epochs = [
        [i for step in range(5 * e, 5 * e + 5) for i in batches.at(step).targets.tolist()]
        for e in range(3)
    ]
    assert all(sorted(epoch) == list(range(_SAMPLES)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_order_is_torchs_permutation_of_the_documented_key() -> None:
    batches = _batches(_dataset(), seed=4)
    generator = Generator().manual_seed(derive(4, "order", 1))
    order = torch.randperm(_SAMPLES, generator=generator)
    assert torch.equal(batches.at(4).targets, order[16:32])  # the second batch of epoch 1


def test_last_incomplete_batch_is_dropped() -> None:
    batches = _batches(_dataset())
    seen = [i for step in range(3) for i in batches.at(step).targets.tolist()]
    assert len(seen) == len(set(seen)) == 48
    assert batches.steps_per_epoch == 3


def test_seeds_differ() -> None:
    dataset = _dataset()
    orders = {tuple(_batches(dataset, seed).at(0).targets.tolist()) for seed in range(5)}
    assert len(orders) == 5


def test_augmentation_leaves_the_order_as_it_is() -> None:
    dataset = _dataset()
    plain, augmented = _batches(dataset), _batches(dataset, augment=["crop", "flip"])
    for step in (0, 1, 7):
        assert torch.equal(plain.at(step).targets, augmented.at(step).targets)
        assert not torch.equal(plain.at(step).inputs, augmented.at(step).inputs)


def test_no_global_generator_moves() -> None:
    before = torch.get_rng_state()
    _batches(_dataset(), augment=["crop", "flip"]).at(4)
    probe_batch(_dataset(), 8)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("device", _DEVICES)
@pytest.mark.parametrize("size", [None, _SAMPLES])
def test_full_batch_is_the_split_in_its_order(size: int | None, device: str) -> None:
    dataset = _dataset(device)
    batches = _batches(dataset, size=size)
    for step in (0, 1, 9):
        batch = batches.at(step)
        assert torch.equal(batch.inputs, dataset.standardize(dataset.train.inputs))
        assert batch.targets.tolist() == list(range(_SAMPLES))


def test_full_batch_is_augmented_anew_at_every_step() -> None:
    batches = _batches(_dataset(), size=None, augment=["flip"])
    first = batches.at(0)
    assert not _equal(first, batches.at(1))
    assert _equal(first, batches.at(0))


def _slow_crop(image: Tensor, row: int, column: int) -> Tensor:
    """Pixel by pixel: out(y, x) is the image's pixel shifted by (row, column), 0 outside."""
    channels, height, width = image.shape
    out = torch.zeros_like(image)
    for y in range(height):
        for x in range(width):
            if 0 <= y + row < height and 0 <= x + column < width:
                out[:, y, x] = image[:, y + row, x + column]
    assert channels == len(out)
    return out


@pytest.mark.parametrize("device", _DEVICES)
def test_crop_shifts_each_image_by_one_allowed_amount(device: str) -> None:
    images = torch.randn(60, 3, 16, 8, generator=Generator().manual_seed(0))
    draws = augmentation_draws(["crop"], (3, 16, 8), 60, Generator().manual_seed(1))
    cropped = crop(images.to(device), *draws.to(device)).cpu()
    seen = set()
    for image, result in zip(images, cropped, strict=True):
        shifts = [
            (row, column)
            for row in range(-2, 3)
            for column in range(-1, 2)
            if torch.equal(_slow_crop(image, row, column), result)
        ]
        assert len(shifts) == 1
        seen.update(shifts)
    assert {row for row, _ in seen} == set(range(-2, 3))
    assert {column for _, column in seen} == {-1, 0, 1}


def test_crop_of_32_pads_by_4_and_offsets_are_uniform() -> None:
    images = torch.zeros(9000, 1, 32, 32)
    images[:, :, 16, 16] = 1
    draws = augmentation_draws(["crop"], (1, 32, 32), 9000, Generator().manual_seed(0))
    where = crop(images, *draws).flatten(1).argmax(1)
    for shift in (where // 32 - 16, where % 32 - 16):
        counts = (shift + 4).bincount(minlength=9)
        assert len(counts) == 9
        assert ((counts - 1000).abs() < 150).all()  # 5 standard deviations


@pytest.mark.parametrize("device", _DEVICES)
def test_flip_mirrors_about_half(device: str) -> None:
    images = torch.randn(1000, 3, 4, 6, generator=Generator().manual_seed(0))
    (draws,) = augmentation_draws(["flip"], (3, 4, 6), 1000, Generator().manual_seed(1))
    flipped = flip(images.to(device), draws.to(device)).cpu()
    chosen = 0
    for image, result in zip(images, flipped, strict=True):
        mirrored = torch.stack([image[:, :, 5 - x] for x in range(6)], dim=2)
        assert torch.equal(result, image) or torch.equal(result, mirrored)
        chosen += torch.equal(result, mirrored)
    assert 420 < chosen < 580  # 5 standard deviations


def test_crop_comes_before_flip_whatever_the_order_of_names() -> None:
    dataset = _dataset()
    generator = Generator().manual_seed(derive(3, "augment", 2))
    plain = _batches(dataset).at(2)
    down, side = (torch.randint(2 * m + 1, (16,), generator=generator) for m in (2, 1))
    chosen = torch.rand(16, generator=generator) < 0.5
    right = flip(crop(plain.inputs, down, side), chosen)
    for names in (["crop", "flip"], ["flip", "crop"]):
        assert torch.equal(_batches(dataset, augment=names).at(2).inputs, right)


def _sha256(batches: list[Batch]) -> str:
    """Of inputs and targets, in their logical order."""
    hashed = hashlib.sha256()
    for tensor in (tensor for batch in batches for tensor in batch):
        hashed.update(tensor.cpu().contiguous().numpy().tobytes())
    return hashed.hexdigest()


@pytest.mark.parametrize("device", _DEVICES)
def test_batches_are_those_of_the_first_version_on_every_device(device: str) -> None:
    """Pinned on a CPU: neither a device nor a change of the code may draw other batches."""
    dataset = _dataset(device)
    batches = _batches(dataset, augment=["crop", "flip"])
    rng = Generator().manual_seed(9)
    drawn = [drawn_batch(dataset, ["crop", "flip"], rng, 20) for _ in range(2)]
    fixed = [probe_batch(dataset, 20), *([other] if (other := other_batch(dataset, 20)) else [])]
    found = _sha256([*(batches.at(step) for step in range(7)), *drawn, *fixed])
    assert found == "d967576036a1554e133e3751598e49786915d2fb7ab37f21b5aa037d45c23052"


def test_an_epoch_reaches_the_device_in_one_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, ...]] = []

    def counted(values: Tensor, device: torch.device) -> Tensor:
        sent.append(tuple(values.shape))
        return values.to(device)

    monkeypatch.setattr(batches_module, "send", counted)
    made = _batches(_dataset(), augment=["crop", "flip"])
    for step in range(7):
        made.at(step)
    assert sent == [(4, 3, 16)] * 3
    sent.clear()
    full = _batches(_dataset(), size=None)
    for step in range(2):
        full.at(step)
    assert not sent


@pytest.mark.parametrize("size", [0, -1, _SAMPLES + 1])
def test_batch_size_is_checked(size: int) -> None:
    with pytest.raises(ValueError, match=rf"between 1 and the 50 training samples .* not {size}"):
        _batches(_dataset(), size=size)


def test_augmentations_are_checked() -> None:
    with pytest.raises(ValueError, match="unknown augmentation 'rotate': use crop or flip"):
        _batches(_dataset(), augment=["crop", "rotate"])
    with pytest.raises(ValueError, match="for images, not for vectors"):
        _batches(gaussian(), augment=["flip"])


@pytest.mark.parametrize("device", _DEVICES)
def test_probe_batch_is_fixed_and_nested(device: str) -> None:
    large, small = probe_batch(_dataset(device), 30), probe_batch(_dataset(device), 12)
    assert len(set(large.targets.tolist())) == 30
    assert large.targets[:12].tolist() == small.targets.tolist()
    assert small.targets.tolist() == probe_batch(_dataset(), 12).targets.tolist()
    dataset = _dataset(device)
    assert _equal(small, dataset.batch(dataset.train, small.targets))


@pytest.mark.parametrize("size", [0, _SAMPLES + 1])
def test_probe_batch_size_is_checked(size: int) -> None:
    with pytest.raises(ValueError, match=f"between 1 and 50 samples .* not {size}"):
        probe_batch(_dataset(), size)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 30))
def test_evaluation_sees_every_sample_once_in_order(size: int) -> None:
    dataset = _dataset()
    batches = list(evaluation_batches(dataset.test, dataset, size))
    assert all(len(batch.targets) == size for batch in batches[:-1])
    assert torch.cat([batch.targets for batch in batches]).tolist() == list(range(20))
    inputs = torch.cat([batch.inputs for batch in batches])
    assert torch.equal(inputs, dataset.standardize(dataset.test.inputs))


def test_empty_split_has_no_evaluation_batches() -> None:
    dataset = _dataset()
    assert list(evaluation_batches(dataset.validation, dataset, 8)) == []
