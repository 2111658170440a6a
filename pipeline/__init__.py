"""normscope's pipeline: a sweep file becomes cells, trials, records and results."""
