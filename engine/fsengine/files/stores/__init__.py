"""Object stores and web servers: where their objects are, listed, read and written."""
