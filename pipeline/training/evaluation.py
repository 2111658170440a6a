"""How well a network does on a split, in evaluation mode."""

from __future__ import annotations

from typing import Literal

import torch

from pipeline.architectures import Network
from pipeline.data import Dataset, Split
from pipeline.data._objective import correct, objective
from pipeline.data._splits import fixed_order
from pipeline.data._transfer import send
from pipeline.training.batches import evaluation_batches

SplitName = Literal["train", "validation", "test"]
_BATCH = 512


@torch.no_grad()
def evaluate(
    network: Network,
    dataset: Dataset,
    name: SplitName,
    limit: int | None,
) -> tuple[float | None, float | None]:
    """Loss and accuracy, each a mean over samples; None where the split is empty.

    The loss of a regression is the mean of ‖f(x) − y‖², so that it does not grow with the split.

    Args:
        network: is left in training mode; its buffers are used as they are.
        dataset: on the network's device.
        name: which split.
        limit: only so many samples, always the same ones, drawn from the whole split, which may be
            sorted by class; None for all.
    """
    split = _limited(getattr(dataset, name), limit)
    if len(split.targets) == 0:
        return None, None
    mean_over_batch = dataset.task.loss == "cross_entropy"
    loss = torch.zeros((), dtype=torch.float64, device=split.inputs.device)
    hits = torch.zeros((), dtype=torch.int64, device=split.inputs.device)
    network.eval()
    for batch in evaluation_batches(split, dataset, _BATCH):
        outputs = network(batch.inputs)
        value = objective(dataset.task, outputs, batch.targets)
        loss += value * len(batch.targets) if mean_over_batch else value
        right = correct(dataset.task, outputs, batch.targets)
        hits += 0 if right is None else right
    network.train()
    total = len(split.targets)
    return loss.item() / total, hits.item() / total if mean_over_batch else None


def training_samples(dataset: Dataset, limit: int | None) -> int | None:
    """How many training samples an evaluation takes: as many as of the larger other split.

    So the gap between the splits is one between samples of equal size, at little cost. Where the
    other splits are empty, it is all training samples that the limit allows.

    Args:
        dataset: whose splits are counted.
        limit: of every split; None for all.
    """
    others = max(len(dataset.validation.targets), len(dataset.test.targets))
    if others == 0:
        return limit
    return others if limit is None else min(limit, others)


def _limited(split: Split, limit: int | None) -> Split:
    samples = len(split.targets)
    if limit is None or limit >= samples:
        return split
    order = torch.from_numpy(fixed_order(samples, "evaluation")[:limit])
    index = send(order, split.targets.device)
    return Split(*(tensor[index] for tensor in split))
