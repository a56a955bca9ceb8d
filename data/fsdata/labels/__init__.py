"""Labelled data sets: read into one record a photo, checked, split."""
