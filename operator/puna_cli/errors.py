"""The one exception that ends a command with a sentence for the user."""

from __future__ import annotations


class CommandError(Exception):
    """What went wrong, and the way out; printed without a traceback, exit status 1."""
