"""Planned sweeps and finished cells, on a disk or in object storage."""
