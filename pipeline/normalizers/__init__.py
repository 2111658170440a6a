"""Normalizers: one file a family, one public function a normalizer (its name is the YAML name).

Every normalizer, whether it acts on features, weights, activations or the initialization, is one
value: a `Normalizer`. Architectures ask it for modules and never know its name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What probes, architectures and tables must know about a normalizer."""

    batch_dependent: bool = False
    """In training mode one sample's output depends on the others of its batch."""
    running_stats: bool = False
    """Keeps buffers that training moves and evaluation uses. Such a module has torch's attribute
    ``track_running_stats``: in training mode with it False, batch statistics are used and no buffer
    moves. That is how probes leave no trace. Where the buffers are averages of batch statistics,
    the module also has ``momentum``, the weight of the newest batch, and ``exact_batches``, None.
    With ``exact_batches`` 0, each forward in training mode counts there and moves the averages,
    and nothing else, to the exact means over the batches since; what such a forward returns depends
    on its batch alone. That is how an evaluation can use exact statistics."""
    scale_invariant_weights: bool = False
    """The output of (weight layer, normalizer) is unchanged under w → c·w, c > 0, at eps = 0 and,
    if the layer keeps a bias, at bias 0. Of a reparametrized weight, w is all the parameters."""
    true_gradient: bool = True
    """Backward is the gradient of forward (not so for batch renormalization,
    moving-average and power normalization)."""
    noise: bool = False
    """Training mode draws noise. Such a module has the attribute ``noise_key: int``, which the loop
    sets before every step, and draws only from `_ops.counter_random` with that key. A probe of that
    step replays the very noise, no generator moves, and every device sees the same noise. In
    evaluation mode it draws none; it keeps no running statistics itself."""
    bias_free: bool = False
    """The weight layer before needs no bias: a per-channel mean is subtracted, or a shift added."""
    host_state: bool = False
    """A training step reads a number that the host sets anew for each step, or makes the host wait
    for the device. A CUDA graph, which replays a step without the host, cannot hold such a step."""
    minimum_spatial_size: int = 1
    """Smallest height and width on which the normalizer is not degenerate."""


def identity(channels: int) -> nn.Module:
    """Leave features as they are."""
    del channels
    return nn.Identity()


def relu(channels: int) -> nn.Module:
    """Make the activation of a normalizer that does not replace it."""
    del channels
    return nn.ReLU()


def keep(module: nn.Module) -> nn.Module:
    """Leave a weight layer as it is."""
    return module


def nothing(network: nn.Module) -> None:
    """Leave the common initialization as it is."""


def without_data(network: nn.Module, inputs: Tensor) -> None:
    """Set nothing by data."""
    del network, inputs


@dataclass(frozen=True, kw_only=True)
class Normalizer:
    """The modules that a normalizer puts into a network; each field defaults to doing nothing."""

    features: Callable[[int], nn.Module] = identity
    """C → module on (N, C) or (N, C, H, W), after a weight layer (before it in DenseNets)."""
    weight: Callable[[nn.Module], nn.Module] = keep
    """A conv or linear module → itself, its weight reparametrized (torch's ``parametrize``, with a
    right inverse, so that assigning ``module.weight`` sets the effective weight where it can)."""
    activation: Callable[[int], nn.Module] = relu
    """C → the nonlinearity, ReLU or what replaces it."""
    residual: Callable[[], nn.Module] = nn.Identity
    """The module at the end of a residual branch, before the addition."""
    initialize: Callable[[nn.Module], None] = nothing
    """Changes a network after the common initialization (Fixup and its kin)."""
    calibrate: Callable[[nn.Module, Tensor], None] = without_data
    """Changes a network by a batch of inputs, once, before the first step (a data-dependent
    initialization). It is called without gradients, in training mode, running statistics standing
    still."""
    traits: Traits = Traits()


def compose(normalizers: Sequence[Normalizer]) -> Normalizer:
    """Join normalizers that act on different places, e.g. ``[weight_standardization, group]``.

    Feature, weight and residual modules, initializations and calibrations apply in the listed
    order.

    Raises:
        ValueError: if the sequence is empty or two members replace the activation.
    """
    if not normalizers:
        raise ValueError("a composition needs at least one normalizer")
    activations = [n.activation for n in normalizers if n.activation is not relu]
    if len(activations) > 1:
        raise ValueError("at most one normalizer of a composition may replace the activation")

    def weight(module: nn.Module) -> nn.Module:
        for normalizer in normalizers:
            module = normalizer.weight(module)
        return module

    def initialize(network: nn.Module) -> None:
        for normalizer in normalizers:
            normalizer.initialize(network)

    def calibrate(network: nn.Module, inputs: Tensor) -> None:
        for normalizer in normalizers:
            normalizer.calibrate(network, inputs)

    return Normalizer(
        features=lambda channels: _sequence([n.features(channels) for n in normalizers]),
        weight=weight,
        activation=activations[0] if activations else relu,
        residual=lambda: _sequence([n.residual() for n in normalizers]),
        initialize=initialize,
        calibrate=calibrate,
        traits=_joined([n.traits for n in normalizers]),
    )


def _sequence(modules: Sequence[nn.Module]) -> nn.Module:
    """Chain modules, leaving out those that do nothing."""
    acting = [module for module in modules if not isinstance(module, nn.Identity)]
    if len(acting) == 1:
        return acting[0]
    return nn.Sequential(*acting) if acting else nn.Identity()


def _joined(traits: Sequence[Traits]) -> Traits:
    """A composition has a trait if any member has it; its gradient is true if every member's is."""
    return Traits(
        batch_dependent=any(t.batch_dependent for t in traits),
        running_stats=any(t.running_stats for t in traits),
        scale_invariant_weights=any(t.scale_invariant_weights for t in traits),
        true_gradient=all(t.true_gradient for t in traits),
        noise=any(t.noise for t in traits),
        bias_free=any(t.bias_free for t in traits),
        host_state=any(t.host_state for t in traits),
        minimum_spatial_size=max(t.minimum_spatial_size for t in traits),
    )
