"""Layers that can be stacked, one kind a file."""
