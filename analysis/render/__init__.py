"""The report's formats. What a number looks like is decided once, in `numbers`."""

MANIFEST = "manifest.json"
"""The file of a report that names its other files with their digests."""
