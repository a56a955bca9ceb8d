"""The pages of a dashboard, a module each with `show`.

Streamlit takes every module of a folder named `pages` for a page of its own, so this one has another name.
"""
