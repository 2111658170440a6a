"""The loaded runs of one or more sweeps, and the order of their labels."""
