"""Remedies, one a file."""
