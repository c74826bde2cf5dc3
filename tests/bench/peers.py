"""Other routers from PyPI, each in an environment of its own, with the settings that it ships."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from puna_cli.paths import cache_folder

MODEL: Final = "chat"
_KEY: Final = f"sk-{secrets.token_hex(32)}"


@dataclass(frozen=True, slots=True)
class Peer:
    """One router."""

    name: str
    requirement: str
    command: Callable[[Path, Path, int, Sequence[str]], list[str]]
    """Argument vector from its environment, a folder of the run, its port and the servers."""
    environment: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    """Headers that its clients send."""

    def folder(self) -> Path:
        """Its environment, installed now if it never was."""
        pinned = self.requirement.replace("[", "-").replace("]", "")
        folder = cache_folder(os.environ) / "peers" / pinned
        if not folder.exists():
            unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
            subprocess.run([sys.executable, "-m", "venv", str(unfinished)], check=True)
            pip = [str(unfinished / "bin" / "python"), "-m", "pip", "install", "--quiet"]
            subprocess.run([*pip, "--disable-pip-version-check", self.requirement], check=True)
            unfinished.rename(folder)
        return folder


def _litellm(environment: Path, folder: Path, port: int, servers: Sequence[str]) -> list[str]:
    # JSON is YAML too.
    members = [
        {
            "model_name": MODEL,
            "litellm_params": {
                "model": f"openai/{MODEL}",
                "api_base": f"{server}/v1",
                "api_key": "none",
            },
        }
        for server in servers
    ]
    file = folder / "litellm.yaml"
    file.write_text(json.dumps({"model_list": members}))
    program = "from litellm import run_server; run_server()"
    options = ("--config", str(file), "--host", "127.0.0.1", "--port", str(port))
    return [str(environment / "bin" / "python"), "-c", program, *options, "--num_workers", "1"]


def _cache_aware(module: str) -> Callable[[Path, Path, int, Sequence[str]], list[str]]:
    def command(environment: Path, _: Path, port: int, servers: Sequence[str]) -> list[str]:
        options = ("--policy", "cache_aware", "--host", "127.0.0.1", "--port", str(port))
        python = str(environment / "bin" / "python")
        return [python, "-m", module, "--worker-urls", *servers, *options]

    return command


PEERS: Final = (
    Peer(
        "LiteLLM proxy",
        "litellm[proxy]==1.106.2",
        _litellm,
        # Its prices of models come from the network otherwise; without a key it does not start.
        {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": _KEY},
        {"authorization": f"Bearer {_KEY}"},
    ),
    Peer(
        "vllm-router cache_aware", "vllm-router==0.1.17", _cache_aware("vllm_router.launch_router")
    ),
    Peer(
        "sglang-router cache_aware",
        "sglang-router==0.3.2",
        _cache_aware("sglang_router.launch_router"),
    ),
)
