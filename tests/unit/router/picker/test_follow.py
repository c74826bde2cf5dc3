from __future__ import annotations

from pathlib import Path

from puna_router.picker.config import CONFIG_FILE, PickerConfig
from puna_router.picker.follow import Follower, version_of
from tests.unit.router.picker.configs import config, host


def put(folder: Path, text: str) -> None:
    unfinished = folder / "new"
    unfinished.write_text(text)
    unfinished.replace(folder / CONFIG_FILE)


def test_each_new_document_is_handed_on_once(tmp_path: Path) -> None:
    found: list[PickerConfig] = []
    follower = Follower(tmp_path / CONFIG_FILE, found.append)
    follower.look()
    assert (found, follower.problem) == ([], "picker.json has not been written yet")
    assert follower.version is None
    first, second = config(host("a")), config(host("b"))
    for document in (first, second):
        put(tmp_path, document.to_json())
        follower.look()
        follower.look()
        assert follower.version == version_of(document.to_json().encode())
    assert version_of(first.to_json().encode()) != follower.version
    assert (found, follower.problem) == ([first, second], None)


def test_a_bad_document_changes_nothing_but_what_is_said(tmp_path: Path) -> None:
    found: list[PickerConfig] = []
    follower = Follower(tmp_path / CONFIG_FILE, found.append)
    good = config(host("a"))
    for text in (good.to_json(), "{}", good.to_json()):
        put(tmp_path, text)
        follower.look()
        if text == "{}":
            assert follower.problem == "picker.json: endpoints: is missing"
            assert follower.version == version_of(good.to_json().encode())
    assert (found, follower.problem) == ([good, good], None)
    (tmp_path / CONFIG_FILE).unlink()
    follower.look()
    assert follower.problem is None
