"""Results in Parquet."""
