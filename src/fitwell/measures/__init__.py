"""What rules measure of a view: numbers and words read from facts and signals, without torch and numpy."""
