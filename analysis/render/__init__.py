"""The report's formats. What a number looks like is decided once, in `numbers`."""
