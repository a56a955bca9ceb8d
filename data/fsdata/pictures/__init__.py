"""How the project's charts look."""
