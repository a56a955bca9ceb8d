"""HTTP as it comes over the network: the socket, TLS, and patience with callers."""
