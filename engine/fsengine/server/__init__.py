"""The embedded Triton server: the pip package's binary with stand-in backends, on loopback."""
