"""Tally: what became of the documents of a dataset, as `report.json` tells it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from puna_trainer.data.documents import Unreadable
from puna_trainer.data.parts import Line, Part
from puna_trainer.data.redact import Kind, Redacted

EXAMPLES: Final = 5
"""Examples of each kind of thing that was replaced."""
MOST_NAMED: Final = 20
"""Files that could not be read and are named."""
AROUND: Final = 24
"""Characters on each side of an example; what was replaced stands in it by its name alone."""


@dataclass
class Tally:
    """Counts and examples."""

    read: int = 0
    duplicates: int = 0
    too_short: int = 0
    too_long: int = 0
    not_utf8: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)
    """The first of those that are not UTF-8."""
    redacted: Counter[Kind] = field(default_factory=Counter)
    redacted_documents: int = 0
    examples: dict[Kind, list[dict[str, str]]] = field(default_factory=dict)

    def note(self, redacted: Redacted, source: str) -> None:
        """Count what was replaced in a document."""
        self.redacted_documents += bool(redacted.finds)
        for find in redacted.finds:
            self.redacted[find.kind] += 1
            examples = self.examples.setdefault(find.kind, [])
            if len(examples) < EXAMPLES:
                end = find.position + len(find.kind) + 2
                start = max(0, find.position - AROUND)
                examples.append({"source": source, "text": redacted.text[start : end + AROUND]})

    def pass_over(self, file: Unreadable) -> None:
        """Count a file that is not the text it should be."""
        self.not_utf8 += 1
        if len(self.unreadable) < MOST_NAMED:
            self.unreadable.append(file)

    def left_out(self) -> str:
        """Return what was left out, in words."""
        return (
            f"{self.too_short} were too short, {self.too_long} too long, {self.duplicates} were "
            f"there before, {self.not_utf8} are not UTF-8"
        )

    def document(
        self, parts: Mapping[Part, Sequence[Line]], digests: Mapping[Part, str]
    ) -> dict[str, Any]:
        """Return all of it as a document of JSON, without a word of what was replaced."""
        return {
            "documents": {
                "read": self.read,
                "kept": sum(len(lines) for lines in parts.values()),
                "duplicates": self.duplicates,
                "tooShort": self.too_short,
                "tooLong": self.too_long,
                "notUtf8": self.not_utf8,
            },
            "unreadable": [{"source": file.name, "why": file.why} for file in self.unreadable],
            "parts": {
                part: {
                    "documents": len(parts[part]),
                    "characters": sum(line.characters for line in parts[part]),
                    "bytes": sum(line.text_bytes for line in parts[part]),
                    "sha256": digest,
                }
                for part, digest in digests.items()
            },
            "redacted": {
                "documents": self.redacted_documents,
                "found": {kind.lower(): self.redacted[kind] for kind in Kind},
                "examples": {kind.lower(): found for kind, found in self.examples.items()},
            },
        }
