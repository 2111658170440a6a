"""The words of the paper, of its critics and of its reviewers behind a claim or a question.

Each is verbatim, a part of a sentence at least. An answer without an entry stands in our own words
alone: its wording in the source has not been checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Quote:
    """Words, and where they stand."""

    words: str
    source: str

    @property
    def line(self) -> str:
        """Words and source in one line."""
        return f"“{self.words}” ({self.source})"


_PAPER = "Santurkar et al., NeurIPS 2018"
_ABSTRACT, _INTRODUCTION = f"{_PAPER}, abstract", f"{_PAPER}, introduction"
_FIRST, _SECOND = (f"NeurIPS reviewer {number} of the paper" for number in (1, 2))

QUOTES: Mapping[str, Quote] = {
    "C1": Quote("enables faster and more stable training of deep neural networks", _ABSTRACT),
    "C2": Quote(
        "such distributional stability of layer inputs has little to do with the success of "
        "BatchNorm",
        _ABSTRACT,
    ),
    "C3": Quote(
        "less stable distributions than even the standard, non-BatchNorm network",
        f"{_PAPER}, on noisy BatchNorm",
    ),
    "C4": Quote(
        "adding the same amount of noise to the activations of the standard (non-BatchNorm) "
        "network prevents it from training entirely",
        f"{_PAPER}, on noisy BatchNorm",
    ),
    "C5": Quote(
        "in a certain sense BatchNorm might not even be reducing internal covariate shift",
        _INTRODUCTION,
    ),
    "C6": Quote("it makes the optimization landscape significantly smoother", _ABSTRACT),
    "C7": Quote("a more predictive and stable behavior of the gradients", _ABSTRACT),
    "C8": Quote(
        "observe consistent differences between these networks",
        f"{_PAPER}, on “effective” β-smoothness with and without BatchNorm",
    ),
    "C10": Quote("this smoothening effect is not uniquely tied to BatchNorm", _INTRODUCTION),
    "C11": Quote("larger range of learning rates and faster network convergence", _INTRODUCTION),
    "C12": Quote(
        "under natural conditions, the Lipschitzness of both the loss and the gradients",
        _INTRODUCTION,
    ),
    "K1": Quote(
        "Batch Normalization does not necessarily make the loss landscape smoother, especially for "
        "shallower networks",
        "Yao et al., arXiv 1912.07145, abstract",
    ),
    "K2": Quote(
        "batch-normalization does not consistently produce smaller λ_max",
        "Kaur et al., arXiv 2206.10654, abstract",
    ),
    "K3": Quote(
        "a different normalization scheme that fulfills all the alternative explanations except "
        "reduction in ICS",
        "Awais et al., IEEE TNNLS 2020, abstract",
    ),
    "K4": Quote(
        "such control is just a bounding of ICS rather than a reduction of ICS",
        "Huang and Yu, CVPR 2020, abstract",
    ),
    "Q1": Quote("3D plots (in figures 1 and 2) are fairly difficult to interpret", _FIRST),
    "Q2": Quote("What explicitly is the loss gradient in figure 4?", _FIRST),
    "Q3": Quote(
        "Have you observed the effect of batch norm on more modern networks (e.g. "
        "Resnets/Densenets?)",
        _FIRST,
    ),
    "Q4": Quote(
        "I was a bit confused about the new definition of internal covariate shift", _SECOND
    ),
    "Q9": Quote(
        "there has been an explosion of normalization layers in deep learning",
        "Lubana et al., NeurIPS 2021, abstract",
    ),
}
"""By the key of the answer."""
