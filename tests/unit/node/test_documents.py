from __future__ import annotations

import json
from pathlib import Path

import pytest

from puna_node.documents import DocumentError, escaping, localized, located
from puna_node.mounts import Mount

MOUNTS = (
    Mount("/var/lib/puna/output", "/host/claims/runs"),
    Mount("/var/lib/puna/output/deep", "/host/deep"),
)
MEMBERS = frozenset({"uri", "outputDirectory"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/var/lib/puna/output/a", "/host/claims/runs/a"),
        ("file:///var/lib/puna/output/a", "file:///host/claims/runs/a"),
        ("/var/lib/puna/output/deep/a", "/host/deep/a"),
        ("/var/lib/puna/outputs/a", "/var/lib/puna/outputs/a"),
        ("https://host/var/lib/puna/output", "https://host/var/lib/puna/output"),
    ],
)
def test_a_path_of_the_container_becomes_one_of_the_host(text: str, expected: str) -> None:
    assert located(text, MOUNTS) == expected


@pytest.mark.parametrize(
    "text",
    ["/etc/passwd", "file:///etc/passwd", "/host/../etc/x", "../x", "file:///host/%2e%2e/etc"],
)
def test_what_leads_out_of_the_pods_volumes_is_told(text: str) -> None:
    document = {"dataset": [{"uri": text}], "prompt": "/etc/passwd"}
    (problem,) = escaping(document, MEMBERS, ["/host"])
    assert "uri" in problem


def test_a_program_gets_a_copy_and_texts_stay_as_they_are(tmp_path: Path) -> None:
    content, home = tmp_path / "run", tmp_path / "home"
    content.mkdir()
    home.mkdir()
    document = {
        "outputDirectory": "/var/lib/puna/output/a",
        "questions": [{"prompt": "/var/lib/puna/output"}],
    }
    (content / "run.json").write_text(json.dumps(document))

    def given(text: str) -> tuple[str, ...]:
        return localized(
            [text],
            members=MEMBERS,
            mounts=MOUNTS,
            content=[str(content)],
            reach=["/host"],
            home=home,
        )

    assert given(str(content / "run.json")) == (str(home / "run.json"),)
    assert json.loads((home / "run.json").read_text()) == {
        "outputDirectory": "/host/claims/runs/a",
        "questions": [{"prompt": "/var/lib/puna/output"}],
    }
    assert given(str(tmp_path / "other.json")) == (str(tmp_path / "other.json"),)
    (content / "run.json").write_text('{"uri": "/etc/passwd"}')
    with pytest.raises(DocumentError, match="outside the Pod's volumes"):
        given(str(content / "run.json"))
    (content / "run.json").write_text("no")
    with pytest.raises(DocumentError, match="no document of JSON"):
        given(str(content / "run.json"))
