"""The subcommands of `fsclient`: each parses, calls one function of the library, and reports."""
