"""What a cluster can grow to, against counts made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.sweep.on_ray.capacity import resources_at_full_size

HEAD = {"resources": {"CPU": 0}, "max_workers": 0}


def grown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, workers: dict[str, Any], most: int
) -> dict[str, float]:
    """What is reachable from a head with two CPUs of its own."""
    file = tmp_path / "ray_bootstrap_config.yaml"
    types = {"head": HEAD, **workers}
    content = {"head_node_type": "head", "available_node_types": types, "max_workers": most}
    file.write_text(json.dumps(content))
    monkeypatch.setenv("NORMSCOPE_CLUSTER", str(file))
    return resources_at_full_size({"CPU": 2.0, "memory": 5.0})


def test_workers_that_are_yet_to_start_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    workers = {"gpu": {"resources": {"CPU": 8, "GPU": 1}, "max_workers": 3}}
    expected = {"CPU": 24, "GPU": 3, "memory": 5}
    assert grown(monkeypatch, tmp_path, workers, most=8) == expected


def test_a_cluster_is_no_larger_than_all_its_workers_together(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    workers = {
        "large": {"resources": {"CPU": 4, "GPU": 4}, "max_workers": 2},
        "small": {"resources": {"CPU": 16, "GPU": 1}, "max_workers": 9},
    }
    expected = {"CPU": 5 * 16, "GPU": 2 * 4 + 3 * 1, "memory": 5}
    assert grown(monkeypatch, tmp_path, workers, most=5) == expected


def test_machines_whose_resources_are_not_listed_count_once_they_are_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert grown(monkeypatch, tmp_path, {}, most=2) == {"CPU": 2, "memory": 5}


def test_without_a_cluster_file_it_is_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NORMSCOPE_CLUSTER", raising=False)
    assert resources_at_full_size({"CPU": 2.0}) == {"CPU": 2.0}


def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NORMSCOPE_CLUSTER", str(tmp_path / "none.yaml"))
    with pytest.raises(ValueError, match=r"NORMSCOPE_CLUSTER: .*none\.yaml cannot be read"):
        resources_at_full_size({})
