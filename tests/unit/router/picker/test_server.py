from __future__ import annotations

import socket
from pathlib import Path

from puna_router.control.files import write
from puna_router.picker.config import CONFIG_FILE, SOCKET
from puna_router.picker.server import unix_listener


def test_a_socket_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    with unix_listener(tmp_path / SOCKET), unix_listener(tmp_path / SOCKET) as newer:
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(tmp_path / SOCKET))
        connection, _ = newer.accept()
        connection.close()
        client.close()


def test_a_socket_and_a_document_are_put_in_place_under_different_names(tmp_path: Path) -> None:
    # What control leaves behind if it dies while it writes.
    write(tmp_path / CONFIG_FILE, "{}")
    (tmp_path / CONFIG_FILE).rename(tmp_path / "picker.unfinished")
    unix_listener(tmp_path / SOCKET).close()
    assert (tmp_path / "picker.unfinished").read_text() == "{}"
