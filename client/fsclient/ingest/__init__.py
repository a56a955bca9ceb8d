"""Ingest: photos in, parts out."""
