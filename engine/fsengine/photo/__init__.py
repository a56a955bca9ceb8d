"""What a photo's own bytes say of it."""
