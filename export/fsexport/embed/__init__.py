"""The embed step: CLIP in every precision."""
