"""The fault lab over real connections."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import httpx
import openai
import pytest

from tests.router.lab import LabProgram
from tests.router.program import eventually

CHAT = "/v1/chat/completions"
QUICK = ("--interval", "0.005", "--tokens", "4")
StartLab = Callable[..., LabProgram]


@pytest.fixture
def start_lab() -> Iterator[StartLab]:
    started: list[LabProgram] = []

    def start(*options: str) -> LabProgram:
        started.append(LabProgram(*QUICK, *options))
        return started[-1]

    yield start
    for lab in started:
        assert lab.stop() == 0


def ask(lab: LabProgram, *, path: str = CHAT, seconds: float = 30, **more: Any) -> str:
    body = {"messages": [], "prompt": "one two three", "input": "x", **more}
    return httpx.post(f"{lab.url}{path}", json=body, timeout=seconds).text


def sent(lab: LabProgram, name: str = "", **more: Any) -> socket.socket:
    """The connection of a request that has been sent and is not read."""
    body = json.dumps({"messages": [], **more}).encode()
    connection = socket.create_connection((lab.host, lab.port))
    head = f"POST {CHAT} HTTP/1.1\r\nx-request-id: {name}\r\ncontent-length: {len(body)}"
    connection.sendall(f"{head}\r\n\r\n".encode() + body)
    return connection


def test_it_answers_as_llama_server_does(start_lab: StartLab) -> None:
    lab = start_lab("--slots", "2")
    with httpx.Client(base_url=lab.url) as client:
        assert client.get("/health").json() == {"status": "ok"}
        assert [slot["is_processing"] for slot in client.get("/slots").json()] == [False, False]
        assert client.get("/props").json()["total_slots"] == 2
        assert client.get("/v1/models").json()["data"][0]["id"] == "fault-lab"
        completion = client.post("/completion", json={"prompt": "x", "n_predict": 2}).json()
        assert completion["content"] == " word word"
        assert completion["timings"]["predicted_n"] == 2
        assert "llamacpp:tokens_predicted_total 2\n" in client.get("/metrics").text
        assert client.post("/completion", content="x").status_code == 400
        assert client.get("/nowhere").status_code == 404


def test_an_openai_client_reads_its_answers(start_lab: StartLab) -> None:
    lab = start_lab()
    with openai.OpenAI(base_url=f"{lab.url}/v1", api_key="none", max_retries=0) as client:
        answer = client.chat.completions.create(model="m", messages=[], max_tokens=2)
        assert answer.choices[0].message.content == " word word"
        with client.chat.completions.create(model="m", messages=[], stream=True) as stream:
            said = [piece.choices[0].delta.content or "" for piece in stream]
        assert "".join(said) == " word" * 4
        assert client.completions.create(model="m", prompt="x").choices[0].text == " word" * 4
        vectors = client.embeddings.create(model="m", input=["x", "y"], encoding_format="float")
        assert [item.index for item in vectors.data] == [0, 1]


def test_a_prompt_that_a_slot_holds_is_cached(start_lab: StartLab) -> None:
    lab = start_lab("--slots", "2")
    first = json.loads(ask(lab, path="/completion"))["timings"]
    again = json.loads(ask(lab, path="/completion"))["timings"]
    assert (first["cache_n"], first["prompt_n"]) == (0, 4)
    assert (again["cache_n"], again["prompt_n"]) == (3, 1)


def test_requests_beyond_the_slots_wait_in_order_and_are_counted(start_lab: StartLab) -> None:
    lab = start_lab("--slots", "2", "--interval", "100")
    waiting = [f"waiting-{number}" for number in range(4)]
    with ExitStack() as stack:
        held = [stack.enter_context(sent(lab, f"held-{number}")) for number in range(2)]
        eventually(lambda: lab.state()["slots"]["busy"] == 2)
        for number, name in enumerate(waiting):
            stack.enter_context(sent(lab, name, max_tokens=0))
            eventually(partial(is_deferred, lab, number + 1))
        assert lab.state()["slots"] == {"total": 2, "busy": 2, "deferred": 4}
        held[0].close()
        eventually(lambda: lab.state()["completed"] == 4)
    ended = [item["id"] for item in lab.ends()]
    assert ended[:5] == ["held-0", *waiting]
    state = lab.state()
    assert (state["requests"], state["maxConcurrent"]) == (6, 6)
    eventually(lambda: lab.state()["slots"] == {"total": 2, "busy": 0, "deferred": 0})


def is_deferred(lab: LabProgram, count: int) -> bool:
    return bool(lab.state()["slots"]["deferred"] == count)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_its_slot(start_lab: StartLab, *, stream: bool) -> None:
    lab = start_lab("--slots", "1", "--interval", "100")
    with sent(lab, stream=stream):
        eventually(lambda: lab.state()["slots"]["busy"] == 1)
    eventually(lambda: lab.state()["slots"]["busy"] == 0)
    state = lab.state()
    assert (state["cancelled"], state["concurrent"]) == (1, 0)


def test_a_client_that_leaves_the_queue_is_forgotten(start_lab: StartLab) -> None:
    lab = start_lab("--slots", "1", "--interval", "100")
    with sent(lab):
        eventually(lambda: lab.state()["slots"]["busy"] == 1)
        with pytest.raises(httpx.ReadTimeout):
            ask(lab, seconds=0.1)
        eventually(lambda: lab.state()["slots"] == {"total": 1, "busy": 1, "deferred": 0})
    assert ask(lab, max_tokens=0)


def test_connections_are_reset_before_the_answer(start_lab: StartLab) -> None:
    lab = start_lab("--fault", "reset-before:1")
    with pytest.raises(httpx.ReadError):
        ask(lab)
    assert lab.state()["failed"] == 1


@pytest.mark.parametrize(("stream", "whole"), [(True, 1474), (False, 500)])
@pytest.mark.parametrize("fault", ["reset-after", "truncate"])
def test_answers_end_within_their_body(
    start_lab: StartLab, fault: str, *, stream: bool, whole: int
) -> None:
    lab = start_lab("--fault", f"{fault}:1")
    got = b""
    reset = pytest.raises((httpx.ReadError, httpx.RemoteProtocolError))
    body = {"messages": [], "stream": stream}
    with httpx.stream("POST", f"{lab.url}{CHAT}", json=body) as answer, reset:
        assert answer.status_code == 200
        for part in answer.iter_raw():
            got += part
    assert 0 < len(got) < whole
    assert lab.state()["failed"] == 1


def test_connections_are_refused_for_a_while(start_lab: StartLab) -> None:
    lab = start_lab("--fault", "refuse:1", "--refuse-seconds", "600")
    with pytest.raises(httpx.ReadError):
        ask(lab)
    with pytest.raises(httpx.ConnectError):
        ask(lab)


def test_connections_are_accepted_after_that_while(start_lab: StartLab) -> None:
    lab = start_lab("--fault", "refuse:1", "--refuse-seconds", "0.5")
    began = time.monotonic()
    with pytest.raises(httpx.ReadError):
        ask(lab)
    lab.follow()
    eventually(lambda: _answers(lab))
    assert time.monotonic() - began >= 0.5


def _answers(lab: LabProgram) -> bool:
    try:
        return bool(ask(lab))
    except httpx.ConnectError:
        return False


@pytest.mark.parametrize("fault", ["stall-before", "stall-after"])
def test_answers_stall_and_go_on(start_lab: StartLab, fault: str) -> None:
    lab = start_lab("--fault", f"{fault}:1", "--stall-seconds", "0.4")
    began = time.monotonic()
    assert "[DONE]" in ask(lab, stream=True)
    assert time.monotonic() - began >= 0.4


def test_an_answer_stalls_before_its_first_byte(start_lab: StartLab) -> None:
    lab = start_lab("--fault", "stall-before:1", "--stall-seconds", "600")
    with pytest.raises(httpx.ReadTimeout):
        ask(lab, stream=True, seconds=1)


def test_an_answer_stalls_after_its_first_part(start_lab: StartLab) -> None:
    lab = start_lab("--fault", "stall-after:1", "--stall-seconds", "600")
    body = {"messages": [], "stream": True}
    with httpx.stream("POST", f"{lab.url}{CHAT}", json=body, timeout=30) as answer:
        assert b"assistant" in next(answer.iter_raw())
    eventually(lambda: lab.state()["cancelled"] == 1)


def test_answers_trickle(start_lab: StartLab) -> None:
    lab = start_lab("--fault", "trickle:1")
    with httpx.stream("POST", f"{lab.url}{CHAT}", json={"messages": []}) as answer:
        assert max(len(part) for part in answer.iter_raw()) < 20


def test_chunks_can_be_huge(start_lab: StartLab) -> None:
    lab = start_lab("--fault", "huge:1")
    assert len(ask(lab, stream=True)) > 4 << 20


@pytest.mark.parametrize("status", [500, 503])
def test_answers_can_be_errors(start_lab: StartLab, status: int) -> None:
    lab = start_lab("--fault", f"error-{status}:1")
    assert json.loads(ask(lab))["error"]["code"] == status
    assert httpx.get(f"{lab.url}/health").status_code == 200


def test_health_can_lie(start_lab: StartLab) -> None:
    lab = start_lab("--fault", "sick-health:1")
    assert httpx.get(f"{lab.url}/health").status_code == 503
    assert ask(lab)
    assert lab.state()["faults"] == {"sick-health": 1}


def test_slots_leak_for_a_while(start_lab: StartLab) -> None:
    lab = start_lab("--slots", "1", "--fault", "leak-slot:1", "--leak-seconds", "600")
    assert ask(lab)
    assert httpx.get(f"{lab.url}/slots").json()[0]["is_processing"]
    with pytest.raises(httpx.ReadTimeout):
        ask(lab, seconds=0.1)


def test_slots_that_leaked_are_free_after_that_while(start_lab: StartLab) -> None:
    lab = start_lab("--slots", "1", "--fault", "leak-slot:1", "--leak-seconds", "0.4")
    began = time.monotonic()
    assert ask(lab)
    assert ask(lab)
    assert time.monotonic() - began >= 0.4


def test_ends_are_remembered_by_request_id_until_the_plan_changes(start_lab: StartLab) -> None:
    lab = start_lab("--fault", "error-500:1")

    def ask_as(name: str) -> None:
        headers = {"x-request-id": name}
        httpx.post(f"{lab.url}{CHAT}", json={"messages": []}, headers=headers)

    ask_as("first")
    assert lab.ends() == [{"id": "first", "fault": "error-500", "outcome": "failed"}]
    lab.follow()
    ask_as("second")
    assert lab.ends() == [{"id": "second", "fault": None, "outcome": "completed"}]


def test_a_plan_that_is_none_changes_nothing(start_lab: StartLab) -> None:
    lab = start_lab("--fault", "truncate:0.5", "--seed", "4")
    answer = lab.control.put("/lab", json={"faults": {"explode": 1}})
    assert (answer.status_code, "no fault 'explode'" in answer.text) == (400, True)
    assert lab.state()["plan"] == {"seed": 4, "faults": {"truncate": 0.5}}
