"""The routes, and what they say of themselves in OpenAPI."""
