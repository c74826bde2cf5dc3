"""llama-server's command line: the one place that builds it.

Every flag is explicit, since defaults change between versions of llama.cpp. Source of names and
meaning: ggml-org/llama.cpp, tools/server/README.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from puna.api.preset import Server
from puna.core.quantities import amount

BACKEND_KEY_MOUNT: Final = "/etc/puna/backend-key"
LARGEST_MICRO_BATCH: Final = 512
MEBIBYTE: Final = 1024**2


def server_arguments(
    *, server: Server, chat_template: str | None, name: str, port: int, model: str, ping: int
) -> list[str]:
    """Return the arguments that every accelerator shares."""
    arguments = [
        f"--model={model}",
        f"--alias={name}",
        "--host=$(POD_IP)",
        f"--port={port}",
        f"--ctx-size={server.context_length * server.slots}",
        f"--parallel={server.slots}",
        f"--batch-size={server.batch_size}",
        f"--ubatch-size={min(server.batch_size, LARGEST_MICRO_BATCH)}",
        f"--cache-type-k={server.cache_type_k}",
        f"--cache-type-v={server.cache_type_v}",
        f"--flash-attn={server.flash_attention}",
        f"--cache-reuse={server.cache_reuse}",
        f"--cache-ram={_mebibytes(server.prompt_cache_memory)}",
        "--fit=off",
        "--metrics",
        "--slots",
        "--no-webui",
        f"--api-key-file={BACKEND_KEY_MOUNT}/key",
        f"--sse-ping-interval={ping}",
    ]
    if server.rope_scaling is not None:
        arguments += [
            f"--rope-scaling={server.rope_scaling.type}",
            f"--rope-scale={server.rope_scaling.factor:g}",
        ]
    if chat_template is not None:
        arguments.append(f"--chat-template={chat_template.replace('$(', '$$(')}")
    return arguments


def pool_arguments(*, threads: int | None, limits: Mapping[str, str], gpu_layers: int) -> list[str]:
    """Return the arguments that depend on the pool: threads and offloaded layers.

    Threads follow the CPU limit where the preset names none, since llama-server would count the
    host's cores.
    """
    cores = amount(limits.get("cpu"))
    if threads is None and cores is not None:
        threads = max(1, math.floor(cores))
    arguments = [f"--gpu-layers={gpu_layers}"]
    if threads is not None:
        arguments.append(f"--threads={threads}")
    return arguments


def _mebibytes(quantity: str) -> int:
    """Return a quantity of bytes in MiB, rounded up; the schema admits nothing else."""
    return math.ceil((amount(quantity) or 0) / MEBIBYTE)
