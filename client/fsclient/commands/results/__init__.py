"""Commands about a folder of results."""
