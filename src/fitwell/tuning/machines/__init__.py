"""Machines: trials on the workers of a Ray cluster."""
