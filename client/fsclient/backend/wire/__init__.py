"""Requests and answers of a Triton server as they travel, and what gRPC says of those that fail."""
