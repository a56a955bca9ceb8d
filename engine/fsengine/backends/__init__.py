"""Stand-ins, on Triton's Python backend, for the native backends that the pip package's server lacks.

They do the same work with the same files and refuse what the native ones refuse, so that a repository that
runs here runs there. Each is imported by the few lines in `folders/<name>/model.py`.
"""
