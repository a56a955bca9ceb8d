"""Golden answers: what the models of a pack make of photos that ship, recorded once and compared with any server's."""
