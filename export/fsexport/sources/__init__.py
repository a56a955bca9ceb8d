"""Weights as others store them: TFLite networks, pickles, wheels."""
