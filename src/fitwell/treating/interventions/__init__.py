"""Interventions, one a file."""
