"""What tests of client libraries talk to: one router before everything that a client may meet."""

from __future__ import annotations

from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from tests.gguf_factory import write_gguf
from tests.router.llama import key_file, start_llama_servers
from tests.router.program import RouterProgram, endpoint, revision
from tests.router.stub import Stub, Stubs

SECRET: Final = "team-keys"
TEMPLATE: Final = r"""
{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- for tool in tools %}
        {{- tool | tojson + '\n' }}
    {%- endfor %}
    {{- '<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' }}
    {%- if message.content %}
        {{- message.content }}
    {%- endif %}
    {%- if message.tool_calls %}
        {%- for call in message.tool_calls %}
            {{- '{"name": "' + call.function.name + '", "arguments": ' }}
            {{- call.function.arguments | tojson }}
            {{- '}' }}
        {%- endfor %}
    {%- endif %}
    {{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
"""
"""A template that knows tools: llama-server makes its grammar of calls from it."""


def key_of(name: str) -> str:
    """The API key that is known by a name."""
    return f"puna_{name:0<43}"


def _key(name: str, **limits: Any) -> dict[str, Any]:
    return {"sha256": sha256(key_of(name).encode()).hexdigest(), **limits}


class Served:
    """A router with two llama-servers and a stub.

    `chat` answers and `vectors` embeds; `keyed` is `chat` with keys. `stub` is what a test makes of
    it, `limited` the same with keys; `soon` has no server.
    """

    KEYS: Final = {
        "alice": _key("alice"),
        "bob": _key("bob", endpoints=["limited"]),
        "single": _key("single", maxConcurrency=1),
        "slow": _key("slow", requestsPerMinute=6, burst=1),
        "slower": _key("slower", requestsPerMinute=6, burst=1),
    }

    def __init__(self, folder: Path) -> None:
        with ExitStack() as stack:
            model = folder / "tiny.gguf"
            # Goes straight into a call or an object where it may, and comes to its end.
            write_gguf(model, chat_template=TEMPLATE, likely=b"{", unlikely=b" \t\r\n,")
            chat, vectors = start_llama_servers(
                stack, folder, model, (), ("--embedding", "--pooling", "mean")
            )
            stubs = Stubs()
            stack.callback(stubs.close)
            self.stub: Stub = stubs.start()
            own = revision(slots=2, defaults={"temperature": 0.25, "max_tokens": 9})
            access = {"secret": SECRET}
            presets = {"short": {"forced": {"max_tokens": 3}}}
            backends = {
                "chat": [chat],
                "keyed": [chat],
                "limited": [self.stub.backend()],
                "stub": [self.stub.backend()],
                "vectors": [vectors],
            }
            self.router = RouterProgram(
                folder,
                [
                    endpoint("chat", own, presets=presets),
                    endpoint("keyed", own, access=access),
                    endpoint("limited", access=access),
                    endpoint("stub", idleTimeoutSeconds=1),
                    endpoint("vectors", revision(slots=2)),
                    endpoint("soon", revision(), revisions=[]),
                ],
                backends,
                apiKeyFile=str(key_file(folder)),
                keys={SECRET: self.KEYS},
            )
            stack.callback(self.router.stop)
            for name in backends:
                self.router.wait_healthy(1, name)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """End all of it."""
        self._stack.close()
