"""Labelled photos made ready for work: split, sampled, looked at."""
