"""Figures that a test has seen: shown by `pytest -s`, and with a failure."""

from __future__ import annotations

import sys


def note(text: object) -> None:
    """Say what was measured."""
    sys.stdout.write(f"{text}\n")
