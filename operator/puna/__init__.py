"""The Puna operator: decides what should run, and says so to the API server."""

__version__ = "0.1.0"
