"""Where remedies act in a program's text: its optimizers, loops, loaders, losses and layers.

Nothing is guessed: what is not surely the thing that a finding is about is not found.
"""
