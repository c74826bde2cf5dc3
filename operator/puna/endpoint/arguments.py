"""llama-server's command line: the one place that builds it.

Every flag is explicit, since defaults change between versions of llama.cpp. Source of names and
meaning: ggml-org/llama.cpp, tools/server/README.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from puna.api.preset import Server, ServerMode
from puna.core.quantities import amount, mebibytes

BACKEND_KEY_MOUNT: Final = "/etc/puna/backend-key"
LARGEST_MICRO_BATCH: Final = 512


def server_arguments(
    *, server: Server, chat_template: str | None, name: str, port: int, model: str, ping: int
) -> list[str]:
    """Return the arguments that every accelerator shares."""
    values: dict[str, object] = {
        "--model": literal(model),
        "--alias": name,
        "--host": "$(POD_IP)",
        "--port": port,
        "--ctx-size": server.context_length * server.slots,
        "--parallel": server.slots,
        **_batches(server),
        "--cache-type-k": server.cache_type_k,
        "--cache-type-v": server.cache_type_v,
        "--flash-attn": server.flash_attention,
        "--cache-reuse": server.cache_reuse,
        "--cache-ram": mebibytes(server.prompt_cache_memory),
        "--fit": "off",
        "--api-key-file": f"{BACKEND_KEY_MOUNT}/key",
        "--sse-ping-interval": ping,
    }
    if server.rope_scaling is not None:
        values["--rope-scaling"] = server.rope_scaling.type
        values["--rope-scale"] = f"{server.rope_scaling.factor:g}"
    if chat_template is not None:
        values["--chat-template"] = literal(chat_template)
    if server.mode is ServerMode.RERANK:
        values["--pooling"] = "rank"
    elif server.pooling is not None:
        values["--pooling"] = server.pooling
    embedding = [] if server.mode is ServerMode.CHAT else ["--embedding"]
    return [*_in_words(values), *embedding, "--metrics", "--slots", "--no-webui"]


def pool_arguments(*, threads: int | None, limits: Mapping[str, str], gpu_layers: int) -> list[str]:
    """Return the arguments that depend on the pool: threads and offloaded layers.

    Threads follow the CPU limit where the preset names none, since llama-server would count the
    host's cores.
    """
    cores = amount(limits.get("cpu"))
    if threads is None and cores is not None:
        threads = max(1, math.floor(cores))
    values = {"--gpu-layers": gpu_layers}
    if threads is not None:
        values["--threads"] = threads
    return _in_words(values)


def _batches(server: Server) -> dict[str, object]:
    """Return both batch sizes: a text that is embedded has to fit in one physical batch."""
    if server.mode is not ServerMode.CHAT:
        size = max(server.batch_size, server.context_length)
        return {"--batch-size": size, "--ubatch-size": size}
    return {
        "--batch-size": server.batch_size,
        "--ubatch-size": min(server.batch_size, LARGEST_MICRO_BATCH),
    }


def _in_words(values: Mapping[str, object]) -> list[str]:
    """Return flags and values as words of their own: llama-server takes no `--flag=value`."""
    return [word for flag, value in values.items() for word in (flag, str(value))]


def literal(text: str) -> str:
    """Return an argument that reaches the process as it is: the kubelet expands `$(...)`."""
    return text.replace("$", "$$")
