"""`fsclient gateway`: HTTP and JSON in front of a server, for callers that have neither Python nor gRPC."""
