"""A training loop of one's own, with a normalizer of one's own, measured by normscope."""

import sklearn.datasets
import torch
from torch import nn

import normscope


class MyNorm(nn.Module):
    """Divide each sample by its root mean square, but for a leak."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / (0.1 + x.square().mean(dim=(1, 2, 3), keepdim=True).sqrt())


inputs, targets = map(torch.tensor, sklearn.datasets.load_digits(return_X_y=True))
inputs = (inputs.float().view(-1, 1, 8, 8) - 4.9) / 6.0
loss_fn = nn.CrossEntropyLoss()
for name, make in {"leaky": MyNorm, "batch": lambda: nn.BatchNorm2d(8)}.items():
    for seed in range(2):
        torch.manual_seed(seed)
        layers = [nn.Conv2d(1, 8, 3), make(), nn.ReLU(), nn.Conv2d(8, 8, 3), make(), nn.ReLU()]
        network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, 10))
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        probes = {"gradient_ics": {"every": 10}, "landscape": {"every": 10}}
        labels = {"data": "digits", "normalizer": name, "lr": 0.1, "seed": seed}
        monitor = normscope.Monitor(
            network, loss_fn, probes=probes, name="my-study", labels=labels, storage="results"
        )
        for _ in range(40):
            batch = torch.randint(1500, (64,))
            loss = loss_fn(network(inputs[batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            with monitor.step(inputs[batch], targets[batch], loss):
                optimizer.step()
        hits = network.eval()(inputs[1500:]).argmax(1) == targets[1500:]
        monitor.finish(test_accuracy=hits.float().mean())
