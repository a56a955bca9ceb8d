"""Photos as files: which were named, and what each one is."""
