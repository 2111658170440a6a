"""The report command: which sweeps it reads, and whether a report is up to date."""
