"""The heads: attractiveness, ethnicity, age and gender."""
