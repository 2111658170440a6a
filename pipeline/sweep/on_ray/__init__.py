"""Ray, and the machines it runs cells on: which cluster, how many cells at once, and Tune."""
