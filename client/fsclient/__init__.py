"""The thin client of FaceStats: photos in, Parquet out, through a Triton server."""
