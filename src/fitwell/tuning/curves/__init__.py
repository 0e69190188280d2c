"""Curves: what trainings that are known beforehand tell together: folds, sizes, resampled training sets."""
