from __future__ import annotations

from pathlib import Path

import pytest

from puna_node.volume_files import FileContent
from puna_node.volume_store import VolumeError, host_folder, write_files


def test_files_appear_change_and_go(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    first = {"a": FileContent(b"1", 0o400), "deep/b": FileContent(b"2")}
    assert write_files(folder, first, user=None)
    assert (folder / "a").read_bytes() == b"1"
    assert (folder / "a").stat().st_mode & 0o777 == 0o400
    assert (folder / "deep" / "b").read_bytes() == b"2"
    assert not write_files(folder, first, user=None)
    assert write_files(folder, {"a": FileContent(b"3")}, user=None)
    assert (folder / "a").read_bytes() == b"3"
    assert not (folder / "deep").exists()
    assert len(list(folder.glob("..[0-9]*"))) == 1


def test_an_open_folder_keeps_its_files_while_they_change(tmp_path: Path) -> None:
    write_files(tmp_path, {"a": FileContent(b"old")}, user=None)
    with (tmp_path / "a").open("rb") as reader:
        write_files(tmp_path, {"a": FileContent(b"new")}, user=None)
        assert reader.read() == b"old"


def test_a_host_folder_has_to_be_there_and_inside(tmp_path: Path) -> None:
    allowed = tmp_path / "models"
    allowed.mkdir()
    (allowed / "link").symlink_to("/etc")

    def at(path: Path, kind: str = "") -> Path:
        return host_folder({"hostPath": {"path": str(path), "type": kind}}, (str(allowed),))

    assert at(allowed) == allowed
    assert at(allowed / "new", "DirectoryOrCreate").is_dir()
    with pytest.raises(VolumeError, match="leads out of the folders"):
        at(allowed / "link" / "passwd")
    with pytest.raises(VolumeError, match="is not there"):
        at(allowed / "absent")
    with pytest.raises(VolumeError, match="not of type File"):
        at(allowed, "File")
