"""What is stated once: tensors and steps, preprocessing, labels, and what a server says that it serves."""
