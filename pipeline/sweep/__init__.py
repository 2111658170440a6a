"""The driver: runs the missing cells of a sweep through Ray Tune."""
