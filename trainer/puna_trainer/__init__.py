"""Trainer: from data to a verified model file. Knows nothing of Kubernetes."""

__version__ = "0.1.0"
