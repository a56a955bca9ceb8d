"""The heads that can be trained, each with what it needs beside the shared course."""
