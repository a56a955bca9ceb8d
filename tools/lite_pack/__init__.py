"""The parts of the `lite` pack that no other pack has: training crops, projection, figures and card."""
