"""The parts of the `demo` pack that no other pack has: labelled crops, encoder, figures and card."""
