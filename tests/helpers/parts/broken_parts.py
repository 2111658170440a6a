"""The code of parts that each break one rule of the contract."""

from __future__ import annotations

NORM = '''
import torch
from torch import nn

from pipeline.normalizers import Normalizer, Traits


class Module(nn.Module):
    def __init__(self, channels):
        super().__init__()
        {init}

    def forward(self, x):
        {forward}


def net() -> Normalizer:
    """A normalizer."""
    return Normalizer(features=Module, traits=Traits({traits}))
'''


PASS = "pass"


NORMALIZERS = {
    "features keep their shape, (N, C) and (N, C, H, W), and are finite": (
        PASS,
        "return x.mean(1, keepdim=True)",
        "",
    ),
    "every parameter has a gradient": (
        "self.weight = nn.Parameter(torch.ones(channels))",
        "return x",
        "",
    ),
    "second derivatives are those of its gradient": (
        PASS,
        "return x * (1 + x.square()).rsqrt().detach()",
        "",
    ),
    "running statistics stand still when they are told to": (
        "self.register_buffer('mean', torch.zeros(1))",
        "self.mean.add_(x.detach().mean().float()); return x",
        "running_stats=True",
    ),
    "trait true_gradient is true": (PASS, "return x - x.detach().mean()", ""),
    "trait batch_dependent is true": (PASS, "return x / x.square().mean().sqrt()", ""),
    "trait running_stats is true": (PASS, "return x", "running_stats=True"),
    "trait noise is true": (PASS, "return x * (1 + 0.1 * torch.randn_like(x))", ""),
    "trait scale_invariant_weights is true": (PASS, "return x", "scale_invariant_weights=True"),
    "the same bits twice in training": (
        "self.count = [0]; Module.calls = getattr(Module, 'calls', 0)",
        "Module.calls += 1; return x * (1 + 1e-3 * Module.calls)",
        "",
    ),
    "no trace: training with probes and without is bitwise the same": (
        "self.calls = 0",
        "self.calls += 1; return x * (1 + 1e-3 * self.calls)",
        "",
    ),
}


OTHERS = {
    ("architectures", "outputs are (N, outputs) of the task"): (
        "return Network(task, [('head', classifier(task.input_shape[0], 3))])"
    ),
    ("architectures", "the normalizer is in the network"): (
        "return Network(task, [('head', classifier(task.input_shape[0], task.outputs))])"
    ),
    ("architectures", "a single tensor passes between stages"): (
        "return Network(task, [('head', nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))])"
    ),
    ("architectures", "every parameter has a gradient"): (
        "head = classifier(task.input_shape[0], task.outputs)\n"
        "    head.other = nn.Identity()\n"
        "    head.other.weight = nn.Parameter(torch.ones(1))\n"
        "    return Network(task, [('head', head)])"
    ),
    ("data", "three splits of the task's shape, finite"): (
        "return dataset(torch.randn(8, 3, generator=generator), torch.zeros(8).long())"
    ),
    ("data", "targets are the task's"): (
        "return dataset(torch.randn(8, 2, generator=generator), torch.full((8,), 7))"
    ),
    ("data", "the same bits twice"): (
        "return dataset(torch.full((8, 2), random.random()), torch.zeros(8).long())"
    ),
    ("data", "no trace: it draws from no global generator"): (
        "return dataset(torch.randn(8, 2), torch.zeros(8).long())"
    ),
    ("probes", "the same bits twice in training"): "return {'value': [random.random()]}",
    ("probes", "no trace: training with probes and without is bitwise the same"): (
        "next(view.network.parameters()).data.add_(1e-3)\n    return {'value': [1.0]}"
    ),
    ("probes", "other probes measure the same beside it"): (
        "[each.add_(1) for each in view.before.values()]\n    return {'value': [1.0]}"
    ),
}


OPTIMIZER = '''
import torch

from pipeline.optimizers import UpdateRule


class Rule(torch.optim.Optimizer):
    calls = 0

    def __init__(self, target):
        super().__init__(target.groups, {{"lr": target.lr}})
        self.count = 0

    @torch.no_grad()
    def step(self, closure=None):
        Rule.calls += 1
        self.count += 1
        for group in self.param_groups:
            lr, decay = group["lr"], group["weight_decay"]
            for p in group["params"]:
                state = self.state[p]
                {step}

    {more}


def net() -> UpdateRule:
    """An optimizer."""
    return UpdateRule(make=Rule, {traits})
'''


PLAIN = "p.sub_(lr * (p.grad + decay * p))"


OPTIMIZERS = {
    "every parameter with a gradient moves, and is finite": (
        "p.sub_(lr * (p.grad + decay * p)) if p.ndim > 1 else p",
        "",
        "",
    ),
    "at a learning rate of 0 nothing moves": ("p.sub_(0.01 * p.grad + lr * decay * p)", "", ""),
    "weight decay is that of the group": ("p.sub_(lr * p.grad)", "", ""),
    "trait changes_gradients is true": ("p.sub_(p.grad.add_(p, alpha=decay).mul_(lr))", "", ""),
    "it goes on from its state_dict with the same bits": (
        "p.sub_(lr / self.count * (p.grad + decay * p))",
        "",
        "",
    ),
    "trait capturable is true, as far as a CPU shows it": (
        "p.sub_(p.grad + decay * p, alpha=float(lr))",
        "",
        "capturable=True",
    ),
    "trait averages is true": (PLAIN, "def eval(self): pass", ""),
    "the same bits twice in training": (
        "p.sub_(lr * (1 + 1e-3 * Rule.calls) * (p.grad + decay * p))",
        "",
        "",
    ),
    "no trace: training with probes and without is bitwise the same": (
        "p.sub_(lr * (1 + 1e-3 * Rule.calls) * (p.grad + decay * p))",
        "",
        "",
    ),
}


HEADS = {
    "architectures": '''
import torch
from torch import nn

from pipeline.architectures import Network
from pipeline.architectures._images import classifier


def net(task, norm):
    """A network."""
    ''',
    "data": '''
import random

import torch

from pipeline.data import Dataset, Split, Task


def dataset(inputs, targets):
    """For net."""
    task, none = Task(loss="cross_entropy", input_shape=(2,), outputs=3), torch.ones(1)
    one = Split(inputs, targets)
    return Dataset(
        task=task, train=one, validation=one, test=one, mean=none, std=none, digest="d"
    )


def net():
    """Data."""
    generator = torch.Generator().manual_seed(0)
    ''',
    "probes": '''
import random


def net(view):
    """A probe."""
    ''',
}
