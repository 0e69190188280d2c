"""Encodings, one a file: they turn raw samples into tensors, with what the training part taught them."""
