"""Data: what a model learns from, read, checked, filtered and split."""
