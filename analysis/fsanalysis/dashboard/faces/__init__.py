"""The faces that a dashboard shows: their table, their places on a map, and which are alike."""
