from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs/adr"
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_record_has_its_four_parts_and_a_line_in_the_index(record: Path) -> None:
    text = record.read_text()
    positions = [
        text.index(f"\n## {part}\n") for part in ("Context", "Decision", "Consequences", "Rejected")
    ]
    assert positions == sorted(positions)
    assert f"]({record.name})" in (FOLDER / "README.md").read_text()
