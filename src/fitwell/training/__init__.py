"""The training itself: in memory, or recorded in a run directory from which it can be resumed."""
