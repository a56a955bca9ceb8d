"""What callers of a server meet: they come, wait and leave here, and nothing of that reaches Triton."""
