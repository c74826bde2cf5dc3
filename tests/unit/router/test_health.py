from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from puna_router.control.event_file import LIMIT, EventFile
from puna_router.control.health import HealthEvent, HealthView, HostHealth, parse_event

HOST = ("chat-aaaaaaaa", "10.0.0.1", 20000)
OTHER = ("chat-aaaaaaaa", "10.0.0.2", 20000)


def check(**event: Any) -> str:
    """A line as Envoy 1.40 writes it."""
    address = {"protocol": "TCP", "address": "10.0.0.1", "port_value": 20000, "resolver_name": ""}
    line = {
        "health_checker_type": "HTTP",
        "host": {"socket_address": address},
        "cluster_name": "chat-aaaaaaaa",
        "timestamp": "2026-11-27T02:06:12.454Z",
        **event,
    }
    return json.dumps(line)


def ejection(**event: Any) -> str:
    line = {
        "type": "CONSECUTIVE_LOCAL_ORIGIN_FAILURE",
        "cluster_name": "chat-aaaaaaaa",
        "upstream_url": "10.0.0.1:20000",
        "action": "EJECT",
        "num_ejections": 1,
        "enforced": True,
        **event,
    }
    return json.dumps(line)


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (check(add_healthy_event={"first_check": True}), HealthEvent(HOST, passes=True)),
        (check(eject_unhealthy_event={"failure_type": "ACTIVE"}), HealthEvent(HOST, passes=False)),
        (check(health_check_failure_event={"first_check": True}), HealthEvent(HOST, passes=False)),
        (check(degraded_healthy_host={}), None),
        (ejection(), HealthEvent(HOST, ejected=True)),
        (ejection(action="UNEJECT"), HealthEvent(HOST, ejected=False)),
        (ejection(enforced=False), None),
        (
            ejection(upstream_url="[fd00::1]:80"),
            HealthEvent((HOST[0], "fd00::1", 80), ejected=True),
        ),
        ("", None),
        ("{", None),
        ("[]", None),
        ('{"upstream_url": 1}', None),
    ],
)
def test_a_line_is_an_event_or_nothing(line: str, event: HealthEvent | None) -> None:
    assert parse_event(line) == event


def test_a_host_is_usable_while_it_passes_and_is_not_ejected() -> None:
    view = HealthView()
    assert view.apply([HealthEvent(HOST, passes=True), HealthEvent(OTHER, passes=False)])
    assert view.usable() == {HOST}
    assert view.known() == {HOST, OTHER}
    assert view.apply([HealthEvent(HOST, ejected=True)])
    assert view.usable() == set()
    assert not view.apply([HealthEvent(HOST, ejected=True)])
    assert view.apply([HealthEvent(HOST, ejected=False)])
    assert view.usable() == {HOST}


def test_a_look_replaces_what_was_known_and_who_is_gone_is_forgotten() -> None:
    view = HealthView()
    assert view.replace({HOST: HostHealth(passes=True), OTHER: HostHealth(passes=True)})
    assert not view.replace({HOST: HostHealth(passes=True), OTHER: HostHealth(passes=True)})
    view.keep(frozenset({OTHER}))
    assert view.usable() == {OTHER}


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_lines_come_whole_and_once(tmp_path: Path) -> None:
    path = tmp_path / "events"
    append(path, "before\n")
    file = EventFile(path)
    assert file.read() == ([], True)
    append(path, "one\ntw")
    assert file.read() == (["one"], True)
    append(path, "o\nthree\n")
    assert file.read() == (["two", "three"], True)


def test_a_file_that_is_not_there_yet_has_no_lines(tmp_path: Path) -> None:
    file = EventFile(tmp_path / "events")
    assert file.read() == ([], True)
    append(tmp_path / "events", "one\n")
    assert file.read() == (["one"], True)


def test_what_may_have_been_lost_is_told(tmp_path: Path) -> None:
    path = tmp_path / "events"
    append(path, "one\ntwo\n")
    file = EventFile(path)
    path.write_text("a\n")
    assert file.read() == (["a"], False)
    append(path, "x" * LIMIT + "\n")
    lines, complete = file.read()
    assert (len(lines), complete) == (1, False)
    assert path.stat().st_size == 0
    append(path, "b\n")
    assert file.read() == (["b"], True)
