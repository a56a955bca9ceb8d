"""Model packs: a folder with its description, and those that ship."""
