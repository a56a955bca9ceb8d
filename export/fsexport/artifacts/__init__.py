"""Exports as a user asks for them: a model's source in, a checked artifact with its record out; one module a step."""
