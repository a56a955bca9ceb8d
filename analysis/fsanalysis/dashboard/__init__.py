"""Results in a browser: pages of Streamlit over a database in memory, a map in WebGL, crops by the number of a face."""
