"""Data of FaceStats: results in Parquet, labelled data sets, and the photos that ship with the project."""
