from __future__ import annotations

import socket
import tempfile
from pathlib import Path

import pytest

from puna_router.control.files import (
    SOCKET_PATH_LIMIT,
    Layout,
    bootstrapped_socket,
    socket_directory,
    write,
)
from puna_router.control.prepare import prepare
from puna_router.control.world import Site
from puna_router.picker.config import STATE_SOCKET


def test_a_file_is_written_only_if_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert write(path, "1")
    number = path.stat().st_ino
    assert not write(path, "1")
    assert number == path.stat().st_ino
    assert write(path, "2")
    assert [path] == list(tmp_path.iterdir())
    assert path.stat().st_mode & 0o077 == 0


def test_a_deep_folder_still_has_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Path(tempfile.mkdtemp(prefix="puna-"))
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    folder = socket_directory(deep)
    assert folder == socket_directory(deep)
    path = folder / STATE_SOCKET
    assert len(str(path)) <= SOCKET_PATH_LIMIT
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    assert (deep / STATE_SOCKET).exists()
    folder.unlink()
    folder.symlink_to("elsewhere")
    with pytest.raises(PermissionError, match="remove it"):
        socket_directory(deep)
    folder.unlink()
    short.rmdir()


def test_a_second_bootstrap_keeps_what_is_served(tmp_path: Path) -> None:
    site = Site(str(tmp_path), "127.0.0.1", 8080)
    prepare(site)
    assert bootstrapped_socket(Layout(tmp_path)) == tmp_path / "admin.sock"
    routes = Layout(tmp_path).resource("rds", "main")
    routes.write_text("served")
    prepare(site)
    assert routes.read_text() == "served"
