"""How far an ingest is, and what it did, for people and programs."""
