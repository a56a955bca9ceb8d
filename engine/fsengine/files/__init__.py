"""Files and folders: hashes, locks, and what appears whole or not at all."""
