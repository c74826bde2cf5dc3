"""Cost of hashing the beginnings of a prompt, in the thread of Envoy's that serves the request.

The whole of `lua/prefix.lua` for one body, by the clock of the process, for prompts of 1, 40 and
400 KB: chats of messages of 1 KB each, since a message costs more than its bytes. Beside it what
the router needs anyhow: the scan that finds the model.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.bench.report import Figure, report
from tests.router.lua_program import LuaProgram, source

SIZES: Final = (1, 40, 400)
"""Prompts, in KB."""
GOALS: Final = {1: 40.0, 40: 400.0, 400: 4000.0}
"""Longest time by size, in microseconds."""
SECONDS: Final = 0.5
"""Time that one figure takes, at least."""
SCRIPT: Final = (
    source("json", "surface", "prefix")
    + """
local WANTED = { model = true, messages = true, tools = true, system = true, instructions = true }

local function cost(seconds, call)
  local count, began = 0, os.clock()
  repeat
    for _ = 1, 10 do
      call()
    end
    count = count + 10
  until os.clock() - began > seconds
  return (os.clock() - began) / count * 1e6
end

function envoy_on_request(handle)
  local seconds = tonumber(handle:headers():get("x-seconds") or "0")
  local body = handle:body()
  local text = body and body:getBytes(0, body:length()) or "{}"
  local found = scan_document(text, WANTED)
  local scan = cost(seconds, function() scan_document(text, WANTED) end)
  local hash = cost(seconds, function() describe_prefixes(text, found, "messages") end)
  handle:respond({ [":status"] = "200" }, string.format("%.3f %.3f", scan, hash))
end
"""
)


def chat(kilobytes: int) -> bytes:
    """A chat of messages of 1 KB each."""
    made = random.Random(kilobytes)
    messages = [
        {"role": "user" if number % 2 else "assistant", "content": text[:1000]}
        for number in range(kilobytes)
        for text in ["".join(made.choices('abcdefgh .,"\n', k=1000))]
    ]
    return json.dumps({"model": "chat", "messages": messages}).encode()


def main() -> int:
    """Measure and report."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        program = LuaProgram(Path(folder), SCRIPT)
        try:
            for size in SIZES:
                answer = program.client.post(
                    "/", content=chat(size), headers={"x-seconds": str(SECONDS)}
                )
                scan, hashing = map(float, answer.text.split())
                figures += [
                    Figure(f"hashes of {size} KB", hashing, "us", goal=GOALS[size]),
                    Figure(f"scan of {size} KB", scan, "us"),
                ]
        finally:
            program.close()
    return report("prefix", figures)


if __name__ == "__main__":
    sys.exit(main())
