"""The bodies of requests: read within limits, and the photos in them."""
