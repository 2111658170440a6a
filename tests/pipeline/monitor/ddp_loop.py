"""A loop under data parallelism in two processes: python -m tests.pipeline.monitor.ddp_loop."""

from __future__ import annotations

import hashlib
import sys
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from pipeline.monitor.monitor import Monitor
from tests.pipeline.monitor.networks import LOSS, batch, made


def main(rank: int, storage: str, *, watched: bool) -> None:
    """Train three steps on this rank's batches; print a digest of the weights."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{storage}/group{watched}", rank=rank, world_size=2
    )
    network = DistributedDataParallel(made("nested"))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    given: dict[str, Any] = {"probes": {"gradient_ics": {"every": 1}}, "name": "ddp"}
    monitor = Monitor(network, LOSS, storage=storage, **given) if watched else None
    for step in range(3):
        inputs, targets = batch(2 * step + rank)
        loss = LOSS(network(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        if monitor:
            with monitor.step(inputs, targets, loss):
                optimizer.step()
        else:
            optimizer.step()
    cell_id = monitor.finish() if monitor else None
    refused = ""
    try:
        Monitor(nn.SyncBatchNorm(3), LOSS, storage=storage, **given)
    except ValueError as error:
        refused = str(error)
    weights = torch.cat([p.detach().reshape(-1) for p in network.parameters()])
    digest = hashlib.sha256(weights.numpy().tobytes()).hexdigest()
    print(f"{cell_id} {digest} {refused.partition(' ')[2][:13]}")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], watched=sys.argv[3] == "watched")
