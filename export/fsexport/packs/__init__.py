"""Packs put together from artifacts."""
