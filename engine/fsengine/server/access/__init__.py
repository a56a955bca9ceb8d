"""Who may reach a server and what is shown: exposure, TLS, tokens."""
