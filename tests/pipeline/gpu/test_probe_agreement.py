"""Every probe, architecture family and normalizer: one step in float64, on a GPU and on a CPU."""

from __future__ import annotations

import pytest

from tests.pipeline.gpu.agreement import (
    FAMILIES,
    GPU,
    NORMALIZERS,
    PROBES,
    SECOND,
    Refused,
    alike_lanczos,
    disagreements,
    on_gpu,
    records_on,
)

pytestmark = GPU
__all__ = ["alike_lanczos"]

TOLERANCE = 1e-6
LOOSER: dict[tuple[str, str], float] = {("mean_only", "moment_ics"): 0.3}
"""By normalizer and probe. Behind `mean_only` every mean is 0 but for rounding, and nothing keeps
σ from falling: in the deep linear network the shift of some layers is rounding over a tiny σ."""


@pytest.mark.parametrize("probe", on_gpu(PROBES))
@pytest.mark.parametrize("family", on_gpu(FAMILIES))
@pytest.mark.parametrize("normalizer", on_gpu(NORMALIZERS))
@pytest.mark.usefixtures("alike_lanczos")
def test_a_probe_agrees_with_the_cpu(normalizer: str, family: str, probe: str):
    found, expected = (records_on(place, family, normalizer, probe) for place in (SECOND, "cpu"))
    if isinstance(expected, Refused) or isinstance(found, Refused):
        assert found == expected
        return
    assert disagreements(found, expected, LOOSER.get((normalizer, probe), TOLERANCE)) == []
