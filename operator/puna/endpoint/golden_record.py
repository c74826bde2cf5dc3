"""Golden record: what is remembered of golden prompts with the revision that was asked them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class GoldenRecord:
    """When the asking began, and what came of it."""

    digest: str
    """Of everything that decides about the answers: of other prompts it says nothing."""
    since: datetime
    """When the asking began."""
    passed: str | None = None
    """The arithmetic, once enough prompts have passed; what fails is the revision's outcome."""

    def to_text(self) -> str:
        """Return it as an annotation."""
        document: dict[str, Any] = {"digest": self.digest, "since": self.since.isoformat()}
        if self.passed is not None:
            document["passed"] = self.passed
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def read_record(text: str | None) -> GoldenRecord | None:
    """Read an annotation; one that says nothing is as good as none: everything is asked again."""
    if text is None:
        return None
    try:
        document = json.loads(text)
        since = datetime.fromisoformat(document["since"])
        return GoldenRecord(str(document["digest"]), since, document.get("passed"))
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
