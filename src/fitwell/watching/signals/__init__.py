"""The signals that a watched training gives: one a file, found by its constant ``SIGNAL``."""
