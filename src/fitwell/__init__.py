"""fitwell trains neural networks that fit well, and can say why when they don't."""

__version__ = "0.1.0"
