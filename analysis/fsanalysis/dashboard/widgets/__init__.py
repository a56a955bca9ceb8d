"""The two parts of pages that Streamlit lacks: a dense grid of faces, and a map of millions of points."""
