from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puna_node.mounts import Mount, is_safe_sub_path, is_within, rewrite

MOUNTS = (
    Mount("/models", "/t/v/models"),
    Mount("/models/deep", "/t/v/deep"),
    Mount("/run/puna", "/t/v/run"),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/models/a.gguf", "/t/v/models/a.gguf"),
        ("/models", "/t/v/models"),
        ("--model=/models/a", "--model=/t/v/models/a"),
        ("/models/deep/a", "/t/v/deep/a"),
        ("/models/deeper/a", "/t/v/models/deeper/a"),
        ("/models-old/a", "/models-old/a"),
        ("x/models/a", "x/models/a"),
        ("/other/models/a", "/other/models/a"),
        ("http://host/models/a", "http://host/models/a"),
        ("http://models/a", "http://models/a"),
        ("file:///models/a", "file:///models/a"),
        ("/models/a:/run/puna/b", "/t/v/models/a:/t/v/run/b"),
        ('{"path": "/run/puna/lds.yaml"}', '{"path": "/t/v/run/lds.yaml"}'),
        ("unix:/run/puna/x.sock,mode", "unix:/t/v/run/x.sock,mode"),
        ("/modelsx /models", "/modelsx /t/v/models"),
        ("", ""),
    ],
)
def test_paths_are_rewritten_at_boundaries_only(text: str, expected: str) -> None:
    assert expected == rewrite(text, MOUNTS)


segments = st.from_regex(r"[a-z][a-z0-9.-]{0,6}", fullmatch=True)
paths = st.lists(segments, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


@given(paths, paths)
def test_a_path_below_a_mount_lands_below_its_target(mount: str, rest: str) -> None:
    assert rewrite(mount + rest, [Mount(mount, "/target")]) == "/target" + rest


@given(paths, paths)
def test_a_path_outside_a_mount_stays(mount: str, path: str) -> None:
    outside = path != mount and not path.startswith(mount + "/")
    rewritten = rewrite(path, [Mount(mount, "/target")])
    assert (rewritten == path) is outside or path == rewritten


@given(paths, st.permutations(["/a", "/a/b", "/a/b/c"]))
def test_the_longest_mount_wins_whatever_the_order(rest: str, order: list[str]) -> None:
    mounts = [Mount(path, f"/T{path.count('/')}") for path in order]
    assert rewrite("/a/b/c" + rest, mounts) == "/T3" + rest
    assert rewrite("/a/b/x" + rest, mounts) == "/T2/x" + rest


@given(st.text(max_size=40))
def test_a_text_without_the_path_is_never_changed(text: str) -> None:
    if "/never" not in text:
        assert rewrite(text, [Mount("/never", "/t")]) == text


@given(st.lists(paths, max_size=4, unique=True), st.text(max_size=30))
def test_rewriting_twice_changes_nothing_more(mounts: list[str], text: str) -> None:
    targets = [Mount(path, f"/~target~{index}") for index, path in enumerate(mounts)]
    once = rewrite(text, targets)
    assert rewrite(once, targets) == once


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("/srv/models/a", True),
        ("/srv/models", True),
        ("/srv/models/../etc", False),
        ("/srv/models-2", False),
        ("relative", False),
        ("/srv/models/./x/..", True),
    ],
)
def test_a_path_is_inside_a_folder_by_what_it_means(path: str, inside: bool) -> None:  # noqa: FBT001
    assert is_within(path, ["/srv/models/"]) is inside


@given(paths)
def test_every_path_is_within_the_root(path: str) -> None:
    assert is_within(path, ["/"])
    assert is_within(posixpath.join(path, "x"), [path])


def test_a_sub_path_stays_inside() -> None:
    assert is_safe_sub_path("a/b..c")
    assert not is_safe_sub_path("/a")
    assert not is_safe_sub_path("a/../../b")
