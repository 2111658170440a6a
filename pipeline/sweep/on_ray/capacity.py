"""What an autoscaled cluster can grow to: a sweep plans for that, not for the nodes there are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def resources_at_full_size(present: Mapping[str, float]) -> dict[str, float]:
    """The cluster's resources once every worker that it may start has joined.

    NORMSCOPE_CLUSTER names the file that `ray up` leaves on the head (`cluster.yaml` sets it). All
    of a cluster's ``max_workers`` may be of the node type that has most of a resource. Without
    that file, or where the file lists no resources, it is what is present.
    """
    file = os.environ.get("NORMSCOPE_CLUSTER")
    grown = _full_size(_read(Path(file))) if file else {}
    return {kind: max(present.get(kind, 0), grown.get(kind, 0)) for kind in {*present, *grown}}


def _full_size(cluster: Mapping[str, Any]) -> dict[str, float]:
    types = cluster.get("available_node_types", {})
    workers = {name: type_ for name, type_ in types.items() if name != cluster["head_node_type"]}
    left = cluster.get("max_workers", 0)
    total: Counter[str] = Counter()
    for kind in {kind for type_ in workers.values() for kind in type_["resources"]}:
        room = left
        for type_ in sorted(workers.values(), key=lambda t: -t["resources"].get(kind, 0)):
            count = min(room, type_.get("max_workers", left))
            total[kind] += count * type_["resources"].get(kind, 0)
            room -= count
    return dict(total)


def _read(file: Path) -> dict[str, Any]:
    import yaml

    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"NORMSCOPE_CLUSTER: {file} cannot be read: {error}") from None
