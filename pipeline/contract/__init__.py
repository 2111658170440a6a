"""The contract that every part keeps, checked for one part: ``normscope check mine/net``."""
