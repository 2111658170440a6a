"""A user's network with what probes ask of a network: layers in order, stages, the loss.

It shares the network's own modules, parameters and buffers, and adds none.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pipeline.architectures import Activation, Layer, Network
from pipeline.monitor.calls import call_order, recorded
from pipeline.monitor.guard import copied, generators, left_alone, seed_all
from pipeline.monitor.stages import (
    LAYERS,
    CannotSplit,
    Stage,
    check_stages,
    given_stages,
    traced_stages,
)
from pipeline.probes._view import preserve_state

_ACTIVATIONS = (
    *(Activation, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU),
    *(nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Tanh, nn.Softplus),
)
LossFunction = Callable[[Any, Tensor], Tensor]


class ObservedNetwork(nn.Module):
    """A view of a network for probes; it runs in the modes that the training loop has set.

    - Layers stand in the order of their first calls.
    - Frozen parameters are constants: they have no name here. A parameter that several modules
      share belongs to the first of them that is called.
    - A network that draws random numbers (dropout) draws them from ``noise_key``, set for every
      step, so that the loss is a function of the parameters. Such a network has no stages.
    - Buffers that a forward changes (other than running statistics) are changed in a copy.

    Args:
        root: the user's network, unwrapped.
        loss_fn: outputs and targets → the loss, a scalar.
        inputs: of one batch.
        stages: the user's own, if any.

    Raises:
        ValueError: if the user's stages are not the network.
    """

    root: nn.Module
    loss_fn: LossFunction

    def __init__(
        self,
        root: nn.Module,
        loss_fn: LossFunction,
        inputs: Tensor,
        stages: Sequence[str | Stage] | None = None,
    ) -> None:
        super().__init__()
        own = vars(self)
        own["root"], own["loss_fn"] = root, loss_fn
        own |= {key: vars(root)[key] for key in ("_parameters", "_buffers", "_modules")}
        self.notes: list[str] = []
        """What a reader of the records must know of this network."""
        self._trained = _trained(root)
        self._moving: list[tuple[nn.Module, str]] = []
        with torch.no_grad(), preserve_state(self), left_alone(self):
            self._moving, random = _side_effects(root, inputs)
            if random:
                own["noise_key"] = 0
            self._order, counts = self._ordered(inputs)
            self._names = self._named()
            self._stages = self._split(inputs, stages, random)
            self._stage_of = self._places(inputs)
        self._weights, self._activations = self._find_weights(), self._find_activations()
        self._note_repeated(counts)

    # What probes ask of a network -----------------------------------------------------------------

    def objective(self, outputs: Any, targets: Tensor) -> Tensor:
        """The user's loss.

        Raises:
            ValueError: if it is not one number.
        """
        loss = self.loss_fn(outputs, targets)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            found = f"{loss.numel()} numbers" if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f"loss_fn returns {found}, not a tensor of one number")
        return loss

    def weight_layers(self) -> list[Layer]:
        """Convolutions and linear layers with a trained weight of their own, by first call."""
        return self._weights

    def activation_layers(self) -> list[Layer]:
        """Modules that are nonlinearities, by first call."""
        return self._activations

    def modules_in_order(self) -> Iterator[tuple[str, nn.Module]]:
        """All modules with their paths, by first call."""
        return iter(self._order)

    def run_stages(self, params: Mapping[str, Tensor], inputs: Tensor, stages: range) -> Tensor:
        """Run consecutive stages as a pure function of ``params``, the whole network's."""
        return functional_call(self, dict(params), (inputs, stages)) if stages else inputs

    def __len__(self) -> int:
        """How many stages there are."""
        return len(self._stages)

    def forward(self, inputs: Tensor, stages: range | None = None) -> Any:
        """Run the network, or some of its stages."""
        if "noise_key" in vars(self):
            seed_all(vars(self)["noise_key"])
        with copied(self._moving):
            if stages is None:
                return self.root(inputs)
            for stage in self._stages[stages.start : stages.stop]:
                inputs = stage(inputs)
            return inputs

    # What it is of torch's modules ----------------------------------------------------------------

    def named_modules(
        self, *args: Any, **options: Any
    ) -> Generator[tuple[str, nn.Module], None, None]:
        """The network's own modules, and this one, which may have a ``noise_key``."""
        yield from self.root.named_modules(*args, **options)
        yield "", self

    def named_parameters(self, *args: Any, **options: Any) -> Iterator[tuple[str, nn.Parameter]]:
        """The trained parameters, each once; with all arguments torch's own."""
        if args or options:
            yield from self.root.named_parameters(*args, **options)
            return
        for parameter in self.root.parameters():
            if parameter.requires_grad:
                yield self._names[parameter], parameter

    def is_other(self) -> bool:
        """Whether other parameters are trained than when this was made."""
        now = _trained(self.root)
        same = len(now) == len(self._trained)
        return not same or any(a is not b for a, b in zip(now, self._trained, strict=True))

    def train(self, mode: bool = True) -> ObservedNetwork:
        """Leave every module in the mode that the loop has set, or put all in evaluation mode."""
        if not mode:
            self.root.eval()
        return self

    # How it is made -------------------------------------------------------------------------------

    def _ordered(self, inputs: Tensor) -> Any:
        order, counts = call_order(self.root, lambda: self(inputs))
        if isinstance(self.root, Network):  # which has an order of its own
            order = list(self.root.modules_in_order())
        return order, counts

    def _named(self) -> dict[nn.Parameter, str]:
        names: dict[nn.Parameter, str] = {}
        for prefix, module in self._order:
            for name, parameter in module.named_parameters(recurse=False):
                names.setdefault(parameter, f"{prefix}.{name}" if prefix else name)
        return names

    def _split(
        self, inputs: Tensor, stages: Sequence[str | Stage] | None, random: bool
    ) -> list[Stage]:
        """The stages; the network as the only one where it cannot be cut, with a note."""
        own = given_stages(self.root, stages) if stages is not None else None
        try:
            if random:
                raise CannotSplit("the network draws random numbers, so it is run as a whole")
            if isinstance(self.root, Network):
                return list(self.root.children())
            with copied(self._moving):
                found = own or traced_stages(self.root, inputs)
                check_stages(self.root, found, inputs)
                with preserve_state(self, "eval"):
                    check_stages(self.root, found, inputs)
        except CannotSplit as reason:
            if own and not random:
                raise ValueError(f"stages: {reason}") from None
            self.notes.append(f"one stage: {reason}; probes by layer cost more")
            return [self.root]
        return found

    def _places(self, inputs: Tensor) -> dict[nn.Module, int]:
        """The stage in which each module is called first."""
        places: dict[nn.Module, int] = {}
        with copied(self._moving):
            for index, stage in enumerate(self._stages):
                with recorded(self.root) as calls:
                    inputs = stage(inputs)
                for module in calls:
                    places.setdefault(module, index)
        return places

    def _find_weights(self) -> list[Layer]:
        owned = {name for name, _ in self.named_parameters()}
        found = self._layers(LAYERS)
        return [layer for layer in found if _has_weight(layer.name, owned)]

    def _find_activations(self) -> list[Layer]:
        found = self._layers(_ACTIVATIONS)
        wrapped = {
            inner
            for layer in found
            if isinstance(layer.module, Activation)
            for inner in layer.module.modules()
            if inner is not layer.module
        }
        return [layer for layer in found if layer.module not in wrapped]

    def _layers(self, kinds: tuple[type[nn.Module], ...]) -> list[Layer]:
        """Modules of some kinds that are called."""
        return [
            Layer(name, module, self._stage_of[module])
            for name, module in self._order
            if isinstance(module, kinds) and module in self._stage_of
        ]

    def _note_repeated(self, counts: Mapping[nn.Module, int]) -> None:
        for layer in self._activations + self._weights:
            if counts[layer.module] > 1:
                text = f"{layer.name} is called {counts[layer.module]} times per forward"
                self.notes.append(f"{text}: its activations are those of the last call")


def _trained(root: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in root.parameters() if parameter.requires_grad]


def _has_weight(layer: str, parameters: set[str]) -> bool:
    parts = f"{layer}.parametrizations.weight." if layer else "parametrizations.weight."
    own = f"{layer}.weight" if layer else "weight"
    return own in parameters or any(name.startswith(parts) for name in parameters)


def _side_effects(root: nn.Module, inputs: Tensor) -> tuple[list[tuple[nn.Module, str]], bool]:
    """The buffers that a forward changes or replaces, and whether it draws random numbers."""
    every = [(m, name) for m in root.modules() for name, _ in m.named_buffers(recurse=False)]
    before = generators()
    with copied(every):
        copies = {(m, name): m._buffers[name] for m, name in every}
        versions = {key: tensor._version for key, tensor in copies.items() if tensor is not None}
        root(inputs)
        moving = [
            (m, name)
            for (m, name), version in versions.items()
            if m._buffers[name] is not copies[m, name] or copies[m, name]._version != version  # pyright: ignore
        ]
    return moving, generators() != before
