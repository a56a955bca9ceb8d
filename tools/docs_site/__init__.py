"""The documentation site: pages of docs/ and those that are made from the code, put together for Zensical."""
