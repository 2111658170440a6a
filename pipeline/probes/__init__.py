"""Probes: one file a probe, whose public function is the probe (its name is the YAML name).

A probe is ``measure(view, *, options) -> Records``. It sees one optimizer step, runs inside
`pipeline.probes._view.preserve_state`, and holds nothing between steps but ``view.memory``.
"""
