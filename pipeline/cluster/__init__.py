"""A Ray cluster as the target of a sweep, and the check of its file."""
