"""What the probes cost, beside a gradient and beside other libraries: python -m benchmarks.probes.

The unit is G: one forward and one backward of the network on the same weights and batch. All that
is compared is timed in turn, round after round, so that a busy machine slows all of it, and a ratio
is the median over rounds of two times of one round. The device is waited for around every timing.

Networks are at the given width, after some steps of SGD on 3x32x32 images of ten smooth patterns
under noise, made here. A relative error is against float64 at the same weights, by double backward;
λ_max's by a Lanczos iteration in it, to a residual of 1e-6.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import torch

from benchmarks import _passes
from benchmarks._eigenvalues import MOST, TOLERANCE, race, with_lanczos
from benchmarks._products import products
from benchmarks._timing import UNIT, in_units, machine, milliseconds, table
from pipeline.data import Dataset
from pipeline.probes._view import preserve_state
from tests.helpers.training.scene import Scene, images, scene

DEEP = ("vgg16", "resnet56", "densenet100")
CURVED = (("vgg16", "none"), ("vgg16", "batch"), ("resnet56", "batch"))
BETWEEN = 50
"""Steps between the two probes of a warm start."""
SECTIONS = ("passes", "products", "eigenvalue", "share")


def main(arguments: list[str] | None = None) -> int:
    """Measure and print, section by section."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    device = torch.device(options.device)
    dataset = images(16 * options.batch, device)
    print(
        f"{machine(device)}; batch {options.batch}, width {options.width:g}, "
        f"{options.rounds} rounds; milliseconds: median (least, most).\n"
    )
    sections = {"passes": _passes_text, "products": _products_text}
    sections |= {"eigenvalue": _eigenvalue_text, "share": _share_text}
    for name in options.only or SECTIONS:
        for part in sections[name](dataset, options):  # as each is found: all take minutes
            print(part, flush=True)
    return 0


def _made(name: str, norm: str, dataset: Dataset, options: argparse.Namespace) -> Scene:
    architecture = {"name": name, "width": options.width}
    return scene(architecture, [{"name": norm}], dataset, options.batch)


def _passes_text(dataset: Dataset, options: argparse.Namespace) -> Iterator[str]:
    rows = []
    for name in DEEP:
        made = _made(name, "batch", dataset, options)
        view = made.advance(3)
        seconds = _passes.passes(made, view, options.rounds)
        layers = len(view.network.weight_layers())
        ics, line = (in_units(seconds, probe) for probe in ("gradient_ics", "landscape"))
        rows.append(
            [
                f"{name}, batch",
                milliseconds(seconds[UNIT]),
                str(layers),
                f"{ics:.1f}",
                f"{ics / layers:.2f}",
                f"{line:.1f}",
                f"{line / _passes.LENGTHS:.2f}",
            ]
        )
    header = ["network", "G, ms", "k layers", "gradient_ics, G", "over k·G"]
    header += [f"landscape, S = {_passes.LENGTHS}, G", "over S·G"]
    yield "### ICS of all layers, and a landscape's line\n\n" + table(header, rows) + "\n"


def _products_text(dataset: Dataset, options: argparse.Namespace) -> Iterator[str]:
    yield "### Hessian-vector products\n"
    for name, norm in CURVED:
        made = _made(name, norm, dataset, options)
        view = made.advance(options.steps)
        with preserve_state(view.network):
            seconds, errors = products(
                view, lambda m=made, v=view: m.gradient(v.batch), options.rounds
            )
        rows = [
            [
                method,
                milliseconds(took),
                f"{in_units(seconds, method):.2f}",
                _small(errors.get(method)),
            ]
            for method, took in seconds.items()
        ]
        yield f"{name}, {norm}\n"
        yield table(["", "ms", "G", "relative error"], rows) + "\n"


def _eigenvalue_text(dataset: Dataset, options: argparse.Namespace) -> Iterator[str]:
    yield f"### λ_max to a relative residual of {TOLERANCE:g}\n"
    for name, norm in CURVED:
        made = _made(name, norm, dataset, options)
        with preserve_state(made.network):
            earlier = with_lanczos(made.advance(options.steps), None, MOST, TOLERANCE).vector
        view = made.advance(BETWEEN)
        with preserve_state(view.network):
            ran = race(view, earlier, lambda m=made, v=view: m.gradient(v.batch), options.rounds)
        rows = [
            [
                method,
                f"{in_units(ran.seconds, method):.0f}",
                str(one.products or ""),
                f"{one.value:.5g}",
                _small(ran.truth.residual(one.value, one.vector)),
                _small(ran.truth.error(one.value)),
            ]
            for method, one in ran.found.items()
        ]
        header = ["", "G", "products", "λ_max", "residual", "relative error"]
        unit = milliseconds(ran.seconds[UNIT])
        yield f"{name}, {norm}: λ_max = {ran.truth.value:.6g}, G = {unit} ms\n"
        yield table(header, rows) + "\n"


def _share_text(dataset: Dataset, options: argparse.Namespace) -> Iterator[str]:
    yield (
        f"### Share of the probes of {_passes.PLAN} in the time of its training\n\n"
        "Computed from what is measured: the time of one measurement over that of one training "
        "step; in brackets, times its measurements, over all steps.\n"
    )
    for place, one in enumerate(
        _passes.shares(dataset, options.batch, options.width, options.rounds)
    ):
        probes = list(one.times)
        each = [f"{one.seconds[p] / one.step:.1f} ({100 * one.of(p):.1f} %)" for p in probes]
        row = [one.setting, *each, f"{100 * sum(map(one.of, probes)):.1f} %"]
        if place == 0:
            planned = ["measurements", *(str(one.times[p]) for p in probes), ""]
            yield table(["", *probes, "together"], [planned, row])
        else:
            yield "| " + " | ".join(row) + " |"


def _small(number: float | None) -> str:
    return "" if number is None else f"{number:.1e}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.probes",
        description="Cost of the probes beside a gradient and other libraries, as Markdown.",
    )
    parser.add_argument("only", nargs="*", choices=[*SECTIONS, []], help="sections (all)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 … (cpu)")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds (3)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (1)")
    parser.add_argument("--batch", type=int, default=64, help="samples of a batch (64)")
    parser.add_argument("--width", type=float, default=0.25, help="of every network (0.25)")
    parser.add_argument("--steps", type=int, default=100, help="of SGD before curvature (100)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
