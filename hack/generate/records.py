"""The index of architecture decisions, from the records' titles."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hack.generate.markdown import NOTE, table

INTRODUCTION: Final = """\
One page each: context, decision, consequences, what was rejected. A decision is overturned by a new
record with evidence, never by an edit of the old one.
"""


def index_page(folder: Path) -> str:
    """Return the index of the records in a folder."""
    rows = [_row(record) for record in sorted(folder.glob("[0-9]*.md"))]
    return "\n".join(
        [f"{NOTE}\n# Architecture decisions\n", INTRODUCTION, table(("record", "decision"), rows)]
    )


def _row(record: Path) -> tuple[str, str]:
    """Return link and title; a record begins with `# ADR 0001: title` or `# 0001: title`."""
    number, _, title = record.read_text(encoding="utf-8").splitlines()[0].partition(": ")
    return f"[{number.split()[-1]}]({record.name})", title
