"""Watching: see into any PyTorch training without changing a line of it."""
