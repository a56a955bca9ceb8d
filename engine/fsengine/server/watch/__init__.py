"""What is watched of an embedded server: its processes, and what it writes."""
