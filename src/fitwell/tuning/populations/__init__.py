"""Populations: trainings as one model, side by side on the cores of a machine."""
