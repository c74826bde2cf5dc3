"""Where a model's file lies: frozen, since another key would download every model again."""

from __future__ import annotations

import pytest

from puna_fetch.config import file_name, model_path

DIGEST = "a" * 64


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://host/dir/m.gguf?download=true", f"/models/team/{DIGEST}/m.gguf"),
        ("http://host/a%20b.gguf", f"/models/team/{DIGEST}/a b.gguf"),
        ("https://host/", f"/models/team/{DIGEST}/model.gguf"),
        ("hf://org/repo/q8/m.gguf", f"/models/team/{DIGEST}/m.gguf"),
        ("hf://org/repo/m.gguf@main", f"/models/team/{DIGEST}/m.gguf"),
        ("hf://org/repo/m.gguf@refs/pr/1", f"/models/team/{DIGEST}/m.gguf"),
        ("pvc://claim/dir/m.gguf", "/source/dir/m.gguf"),
        ("file:///srv/models/dir/m.gguf", "/source/dir/m.gguf"),
    ],
)
def test_a_file_lies_where_it_always_lay(uri: str, expected: str) -> None:
    path = model_path(uri=uri, namespace="team", sha256=DIGEST, source_root="/srv/models")
    assert path == expected


@pytest.mark.parametrize(
    "uri",
    [
        "https://host/../m.gguf",
        "https://host/%2e%2e/m.gguf",
        "pvc://claim/../m.gguf",
        "file:///srv/models/../secret",
        "file:///etc/passwd",
        "hf://org/repo",
        "hf://org/repo/m.gguf@",
        "hf://org/re%2Fpo/m.gguf",
    ],
)
def test_a_path_that_leaves_its_place_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        model_path(uri=uri, namespace="team", sha256=DIGEST, source_root="/srv/models")


def test_a_file_name_keeps_no_path() -> None:
    assert file_name("https://host/a%2Fb%2Fm.gguf") == "m.gguf"
