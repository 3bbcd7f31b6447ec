"""What one run found, for people and programs to read."""
