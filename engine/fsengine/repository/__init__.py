"""The repository that Triton serves: the canonical configurations, adapted to a pack and to who serves it."""
