"""The numerics of one cell: batches, initialization, optimization, evaluation, probes."""
