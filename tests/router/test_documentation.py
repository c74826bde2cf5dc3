"""What docs/router.md promises."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from puna_router.control.errors import REPLIES
from tests.router.conftest import StartRouter
from tests.router.stub import Stubs

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "router.md").read_text()
LUA = ROOT / "operator" / "puna_router" / "lua"


def example() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        next(
            block
            for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
            if "listen" in block
        )
    )
    return found


def test_the_example_file_runs(stubs: Stubs, start_router: StartRouter) -> None:
    stub = stubs.start()
    content = example()
    (backend,) = content["backends"]["chat"]
    backend["port"] = stub.port
    router = start_router(content["endpoints"], content["backends"])
    router.wait_healthy(1)
    answer = router.client.post("/v1/chat/completions", json={"model": "chat:precise"})
    assert answer.json() == {"model": "chat:precise", "temperature": 0}


def test_every_path_and_every_reason_is_named() -> None:
    surface = (LUA / "surface.lua").read_text()
    paths = re.findall(r'^  \["/([^"]+)"\]', surface, re.MULTILINE)
    companions = {"v1/chat/completions/input_tokens", "v1/responses/input_tokens"}
    companions |= {"v1/messages/count_tokens", "v1/reranking", "v1/health"}
    assert [path for path in paths if path not in PAGE and path not in companions] == []
    selecting = (LUA / "select.lua").read_text()
    reasons = {*re.findall(r'_error", "(\w+)"', selecting), *(reply.reason for reply in REPLIES)}
    assert [reason for reason in reasons if f"`{reason}`" not in PAGE] == []
