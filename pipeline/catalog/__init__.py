"""The registry: the parts in the folders, their options, and the check of given values."""
