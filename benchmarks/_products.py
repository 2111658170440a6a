"""Hessian-vector products: ours and the peers', on one view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from benchmarks._timing import UNIT, Seconds, interleaved
from pipeline.probes._hessian import Hessian, hessian_of
from pipeline.probes._vectors import flat
from pipeline.probes._view import View
from tests.helpers.reference import hessian_peers as peers
from tests.helpers.training.scene import doubled

BUILD = "normscope: building the graph, once for all products"


def fresh(view: View) -> Hessian:
    """Our Hessian with its graph built anew, as at a probe's first product."""
    return hessian_of(replace(view, shared={}))


def products(
    view: View, gradient: Callable[[], object], rounds: int
) -> tuple[Seconds, dict[str, float]]:
    """Seconds of one product by each method, set-up aside, and its relative error."""
    vector = torch.randn_like(flat(view.before))
    ours = fresh(view)
    made: dict[str, peers.Product] = {
        "normscope": ours,
        "double backward": peers.double_backward(view),
        "forward over reverse": peers.forward_over_reverse(view),
        "curvlinops": peers.curvlinops_product(view),
        "hessian-eigenthings": peers.eigenthings(view).matvec,
        "PyHessian, kept in training mode": peers.pyhessian_product(
            peers.pyhessian(view, eval_mode=False)
        ),
    }
    exact = peers.double_backward(doubled(view))(vector.double())
    errors = {n: ((p(vector) - exact).norm() / exact.norm()).item() for n, p in made.items()}
    actions: dict[str, Callable[[], object]] = {UNIT: gradient, BUILD: lambda: fresh(view)}
    actions |= {n: lambda p=p: p(vector) for n, p in made.items()}
    return interleaved(actions, view.loss_value.device, rounds), errors
