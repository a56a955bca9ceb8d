"""Where model weights come from: a declared table, a store with pinned hashes, and the fetching between them."""
