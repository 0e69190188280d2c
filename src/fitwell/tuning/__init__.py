"""Tuning: many models trained as one, and the search that proposes them."""
