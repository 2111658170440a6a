"""Probes in a training loop that is not ours; other people's code imports it as `normscope`."""
