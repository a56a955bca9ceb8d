"""Which photos the sources of a command name: found one after the other, whatever they lie in."""
