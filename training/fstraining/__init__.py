"""Train heads on stored embeddings: attractiveness, ethnicity, age and gender; with reports and model cards."""
