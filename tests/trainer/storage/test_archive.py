"""Archives that are honest, damaged or hostile."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.storage.archive import MOST_BASE, content_root, unpack
from puna_trainer.storage.digest import digest_of

FILES = {"letters/train/a.txt": b"a" * 1000, "letters/train/deep/b.txt": b"", "letters/c": b"c"}


def packed(path: Path, files: dict[str, bytes] = FILES) -> Path:
    """An archive of these files, of the kind that its name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def refusal(archive: Path, destination: Path) -> str:
    with pytest.raises(TrainingError) as caught:
        unpack(archive, destination, lambda _: None)
    assert caught.value.reason is FailureReason.DATA_CORRUPT
    return caught.value.message


KINDS = ["x.zip", "x.tar", "x.tar.gz", "x.tgz"]


@pytest.mark.parametrize("name", KINDS)
def test_an_archive_is_unpacked(tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    unpack(packed(tmp_path / name), out, lambda _: None)
    found = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*.*")}
    assert found == {name: data for name, data in FILES.items() if "." in name}
    assert content_root(out) == out / "letters"


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("member", ["../out.txt", "a/../../out.txt", "/out.txt"])
def test_a_member_outside_of_the_folder_is_refused(tmp_path: Path, name: str, member: str) -> None:
    archive = packed(tmp_path / name, {member: b"x"})
    assert "would lie outside" in refusal(archive, tmp_path / "deep" / "out")
    assert sorted(path.name for path in tmp_path.rglob("*.txt")) == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_a_link_or_a_special_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        member = tarfile.TarInfo("passwords")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    assert "passwords is a" in refusal(tmp_path / "x.tar", tmp_path / "out")


def test_a_link_in_a_zip_file_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        member = zipfile.ZipInfo("passwords")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc/passwd")
    assert "passwords is a link" in refusal(tmp_path / "x.zip", tmp_path / "out")


@pytest.mark.parametrize("name", ["x.zip", "x.tgz"])
def test_a_bomb_is_not_unpacked(tmp_path: Path, name: str) -> None:
    archive = packed(tmp_path / name, {"bomb": bytes(4 * MOST_BASE)})
    assert "times its own size" in refusal(archive, tmp_path / "out")
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*")) == 0


def test_a_bomb_that_hides_its_size_is_not_unpacked(tmp_path: Path) -> None:
    archive = packed(tmp_path / "x.zip", {"bomb": bytes(4 * MOST_BASE)})
    data = archive.read_bytes()
    size = (4 * MOST_BASE).to_bytes(4, "little")
    assert data.count(size) == 2
    archive.write_bytes(data.replace(size, (100).to_bytes(4, "little")))
    refusal(archive, tmp_path / "out")
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*")) <= 200


@pytest.mark.parametrize("name", KINDS)
def test_a_truncated_archive_is_refused(tmp_path: Path, name: str) -> None:
    archive = packed(tmp_path / name, {"a": bytes(range(256)) * 100})
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    assert name in refusal(archive, tmp_path / "out")


@pytest.mark.parametrize("name", ["x.zip", "x.tgz"])
def test_a_damaged_archive_is_refused(tmp_path: Path, name: str) -> None:
    archive = packed(tmp_path / name, {"a": zlib.compress(bytes(range(256)))})
    data = bytearray(archive.read_bytes())
    middle = len(data) // 3
    data[middle : middle + 8] = b"\xff" * 8
    archive.write_bytes(data)
    assert name in refusal(archive, tmp_path / "out")


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    for name in KINDS:
        (tmp_path / name).write_text("<html>Not found</html>")
        assert name in refusal(tmp_path / name, tmp_path / "out")


def test_a_name_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("a"))
    assert "twice" in refusal(tmp_path / "x.tar", tmp_path / "out")


def test_what_macos_adds_is_left_out(tmp_path: Path) -> None:
    archive = packed(tmp_path / "x.zip", {"data/a": b"a", "__MACOSX/data/._a": b"x"})
    unpack(archive, tmp_path / "out", lambda _: None)
    assert digest_of(tmp_path / "out" / "data") == digest_of(content_root(tmp_path / "out"))
