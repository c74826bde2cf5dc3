"""What no committed text may hold."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GENERATED = (
    "uv.lock",
    "hack/tools/go.sum",
    "hack/tools-helm/go.sum",
    "hack/tools-kueue/go.sum",
    "hack/tools-promrules/go.sum",
)
PATTERNS = {
    "a note to come back to": re.compile(rf"\b({'TO' + 'DO'}|{'FIX' + 'ME'}|{'X' * 3})\b"),
    "a path of one machine": re.compile(
        r"(?<![\w.$~-])/(work|root|tmp|home/(?!nonroot\b|u\b)\w+|Users/\w+)/"
    ),
    "a package index that is not the public one": re.compile(
        r"https?://(?!pypi\.org|files\.pythonhosted\.org|proxy\.golang\.org)[\w.-]*"
        r"(artifactory|mirror|nexus|devpi|goproxy|/simple\b)"
    ),
}


def tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def texts() -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name in tracked():
        content = (ROOT / name).read_bytes()
        if b"\0" not in content[:4096]:
            found.append((name, content.decode()))
    return found


@pytest.mark.parametrize("what", PATTERNS)
def test_no_text_holds(what: str) -> None:
    hits = [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in texts()
        if name not in GENERATED or what.startswith("a package index")
        for number, line in enumerate(text.splitlines(), start=1)
        if PATTERNS[what].search(line)
    ]
    assert hits == []


def test_the_lock_file_names_the_public_index_only() -> None:
    urls = set(re.findall(r'https?://[^/"]+', (ROOT / "uv.lock").read_text(encoding="utf-8")))
    assert urls == {"https://pypi.org", "https://files.pythonhosted.org"}
