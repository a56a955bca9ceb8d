"""An export's artifact: written whole, checked against its source, with a record of where it comes from."""
