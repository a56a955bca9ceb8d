"""How fast a server is, and which stage bounds it."""
