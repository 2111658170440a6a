"""normscope's analysis: stored results become tables, figures and a report."""
