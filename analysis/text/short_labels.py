"""Short labels of architectures, as papers print them; the options go into a key."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from analysis.study import Study, names
from analysis.text.sentences import Answer, Claim, Finding, Label, Sentence

JOINT = " · "
"""What joins the names of a block: its data, architecture and training."""
_SPELLED = {"densenet": "DenseNet", "resnet": "ResNet", "vgg": "VGG", "deep_linear": "linear"}
_PARTS = re.compile(r"(?P<name>[A-Za-z_]+?)_?(?P<size>\d*)(?:\((?P<options>.*)\))?")
_DEPTH = re.compile(r"\bdepth=(\d+)")


def short_labels(architectures: Iterable[str]) -> dict[str, str]:
    """``densenet(depth=13, growth=6)`` → ``DenseNet-13``; one that is not unique stays as it is."""
    short = {label: _short(label) for label in dict.fromkeys(architectures)}
    used = Counter(short.values())
    return {label: name if used[name] == 1 else label for label, name in short.items()}


def labels_of(study: Study) -> dict[str, str]:
    """The short labels of a study's architectures, in reading order."""
    known = study.planned
    return short_labels(names(known["architecture"])) if "architecture" in known else {}


def _short(label: str) -> str:
    parts = _PARTS.fullmatch(label)
    if parts is None:
        return label
    depth = _DEPTH.search(parts["options"] or "")
    size = depth[1] if depth else parts["size"]
    name = _SPELLED.get(parts["name"])
    if name is None:
        name = parts["name"] if size or not parts["options"] else label
    return f"{name}-{size}" if size else name


def shorten(text: str, names: Mapping[str, str]) -> str:
    """A label, or labels joined to a block's name, with short names for the architectures."""
    return JOINT.join(names.get(part, part) for part in text.split(JOINT))


def in_sentence(sentence: Sentence, names: Mapping[str, str]) -> Sentence:
    """A sentence with short labels."""
    return tuple(
        Label(shorten(part.text, names)) if isinstance(part, Label) else part for part in sentence
    )


def in_answer(answer: Answer, names: Mapping[str, str]) -> Answer:
    """An answer with short labels in all that it says; the keys of its numbers stay."""
    return replace(
        answer,
        verdict=in_sentence(answer.verdict, names),
        claims=[_in_claim(claim, names) for claim in answer.claims],
        findings=tuple(_in_finding(finding, names) for finding in answer.findings),
    )


def _in_claim(claim: Claim, names: Mapping[str, str]) -> Claim:
    return Claim(in_sentence(claim.verdict, names), in_sentence(claim.evidence, names))


def _in_finding(finding: Finding, names: Mapping[str, str]) -> Finding:
    block = shorten(finding.block, names)
    return replace(finding, block=block, claim=_in_claim(finding.claim, names))
