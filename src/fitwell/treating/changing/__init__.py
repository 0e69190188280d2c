"""How a live training is changed, and put back."""
