"""Results brought to other models, computing again only what depends on the change."""
