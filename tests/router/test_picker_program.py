"""The picker as a process: how it begins, what it says, how it ends."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from puna_router.picker.config import SOCKET, STATE_SOCKET, PickerConfig, PickerEndpoint
from tests import ext_proc
from tests.ext_proc import Heard
from tests.router.picker_program import PickerProgram
from tests.router.program import eventually

NO_HOSTS = PickerConfig({"chat": PickerEndpoint(("chat-a",), expected=1)})
Start = Callable[..., PickerProgram]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[PickerProgram] = []

    def begin(document: PickerConfig | None = NO_HOSTS, *arguments: str, **more: Any) -> Any:
        running.append(PickerProgram(more.get("folder", tmp_path), document, *arguments))
        return running[-1]

    yield begin
    for program in running:
        program.stop()


def connect(folder: Path, name: str = SOCKET) -> socket.socket:
    """A connection to a socket in a folder that may lie deep."""
    here = os.open(folder, os.O_PATH)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(f"/proc/self/fd/{here}/{name}")
    os.close(here)
    return connection


def call(connection: socket.socket, stream: int, greeting: bytes = ext_proc.HELLO) -> list[str]:
    """What is answered to one request."""
    connection.sendall(greeting + ext_proc.begin(stream, ext_proc.slot_request()))
    heard = Heard()
    while not heard.answers:
        heard.hear(connection.recv(65_536))
    return [ext_proc.kind(answer) for answer in heard.answers[stream]]


def test_it_loads_nothing_that_makes_it_slow() -> None:
    code = "import sys, puna_router.picker.program; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded.isdisjoint({"aiohttp", "pydantic", "prometheus_client", "kubernetes", "yaml"})
    ours = {name for name in done.stdout.split() if name.startswith("puna")}
    assert {".".join(name.split(".")[:2]) for name in ours} == {
        "puna_router",
        "puna_router.picker",
    }


def test_it_says_that_it_gets_on_and_what_it_has_under_way(start: Start, tmp_path: Path) -> None:
    picker = start()
    assert httpx.get(f"{picker.url}/live").json() == {"status": "ok"}
    with connect(tmp_path) as connection:
        assert call(connection, 1) == ["hold 65"]
        assert (picker.state().depth, picker.state().waiting) == (1, {"": 1})
    eventually(lambda: picker.state().cancelled == 1)
    transport = httpx.HTTPTransport(uds=str(tmp_path / STATE_SOCKET))
    with httpx.Client(transport=transport) as client:
        assert client.get("http://picker/state").json() == json.loads(
            picker.whole_state().to_json()
        )
        assert client.get("http://picker/metrics").status_code == 404


def test_it_follows_the_newest_good_document(start: Start, tmp_path: Path) -> None:
    picker = start(None)
    assert picker.whole_state().problem == "picker.json has not been written yet"
    picker.configure(NO_HOSTS)
    eventually(lambda: "chat" in picker.whole_state().endpoints)
    unfinished = tmp_path / "x"
    unfinished.write_text("{}")
    unfinished.replace(tmp_path / "picker.json")
    eventually(lambda: picker.whole_state().problem == "picker.json: endpoints: is missing")
    assert "chat" in picker.whole_state().endpoints


def test_sigterm_ends_it_and_tells_envoy(start: Start, tmp_path: Path) -> None:
    picker = start()
    with connect(tmp_path) as connection:
        # This call may be held for longer than anybody waits for the picker's end.
        assert call(connection, 1) == ["hold 65"]
        assert picker.stop() == 0
        heard = Heard()
        while data := connection.recv(65_536):
            heard.hear(data)
        assert heard.goaway == 0


def test_with_time_to_drain_it_serves_until_envoy_has_gone(start: Start, tmp_path: Path) -> None:
    picker = start(NO_HOSTS, "--drain-seconds", "600")
    with connect(tmp_path) as connection:
        call(connection, 1)
        picker.process.terminate()
        time.sleep(0.3)
        assert call(connection, 3, b"") == ["hold 65"]
    assert picker.process.wait(30) == 0


def test_a_new_one_takes_the_sockets_of_one_that_died(start: Start, tmp_path: Path) -> None:
    first = start()
    first.process.kill()
    first.process.wait(10)
    start()
    with connect(tmp_path) as connection:
        assert call(connection, 1) == ["hold 65"]


def test_a_folder_may_lie_deep_and_its_sockets_are_the_users_alone(
    start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / ("deep" * 30)
    folder.mkdir()
    start(folder=folder)
    with connect(folder) as connection:
        assert call(connection, 1) == ["hold 65"]
    for name in (SOCKET, STATE_SOCKET):
        assert (folder / name).stat().st_mode & 0o777 == 0o600


def test_whoever_speaks_no_http2_is_told_so_and_left(start: Start, tmp_path: Path) -> None:
    start()
    with connect(tmp_path) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        heard = Heard()
        while data := connection.recv(65_536):
            heard.hear(data)
        assert heard.goaway == 1
