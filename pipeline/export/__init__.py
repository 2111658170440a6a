"""Finished cells go from the store to other trackers, and to CSV files."""
