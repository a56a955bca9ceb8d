"""Photos scored by several processes, whose rows one process writes."""
