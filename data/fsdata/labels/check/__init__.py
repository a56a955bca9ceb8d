"""Checks of labelled photos before anything is trained or measured on them."""
