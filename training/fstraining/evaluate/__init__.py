"""How good a head is: figures, intervals, pictures, the report."""
