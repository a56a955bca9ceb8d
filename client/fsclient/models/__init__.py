"""Model packs and sources: listed, fetched, built, verified."""
