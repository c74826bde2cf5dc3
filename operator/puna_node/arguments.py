"""Which arguments a llama-server may be given on this host. Pure.

llama-server's own tools execute commands, and several flags name files to read or write; a Pod may
use neither to reach beyond its own folders.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from puna_node.mounts import is_within

DENIED: Final = ("--tools", "--agent", "--mcp", "--ui-mcp-proxy", "--webui-mcp-proxy")
"""By prefix: they execute commands or fetch on behalf of a client."""
ROUTER_MODE: Final = ("--models-dir", "--models-preset")
"""Several models in one process are no model of Puna's."""
FILES: Final = frozenset(
    {
        "-m",
        "--model",
        "-mm",
        "--mmproj",
        "-md",
        "--model-draft",
        "--spec-draft-model",
        "--lora",
        "--lora-scaled",
        "--control-vector",
        "--control-vector-scaled",
        "--log-file",
        "--slot-save-path",
        "--api-key-file",
        "--ssl-key-file",
        "--ssl-cert-file",
        "--chat-template-file",
        "--grammar-file",
        "-jf",
        "--json-schema-file",
        "-lcs",
        "--lookup-cache-static",
        "-lcd",
        "--lookup-cache-dynamic",
        "--path",
        "--media-path",
        "--override-tensor-file",
    }
)
"""Flags whose value is a path, or several with commas between."""
ENVIRONMENT_PREFIX: Final = "LLAMA_ARG_"


def refused_argument(
    arguments: Sequence[str], environment: Mapping[str, str], folders: Sequence[str]
) -> str | None:
    """Why llama-server may not be started so; None if it may.

    Args:
        arguments: after mount paths were rewritten.
        environment: `LLAMA_ARG_*` in it are flags too.
        folders: what its files have to lie in.
    """
    return next(_findings([*_from_environment(environment), *arguments], folders), None)


def _findings(arguments: Sequence[str], folders: Sequence[str]) -> Iterator[str]:
    for index, argument in enumerate(arguments):
        if not argument.startswith("-"):
            continue
        name = argument.partition("=")[0].replace("_", "-") if argument[:2] == "--" else argument
        if name.startswith((*DENIED, *ROUTER_MODE)):
            yield f"args: {argument} is not allowed on this node"
        if name in FILES:
            value = arguments[index + 1] if index + 1 < len(arguments) else ""
            for path in value.split(","):
                # `--lora-scaled file:0.5` carries a number behind the path.
                file = path.rpartition(":")[0] if "scaled" in name and ":" in path else path
                if not is_within(file, folders):
                    yield f"args: {argument} {file} is outside the Pod's volumes"


def _from_environment(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        if name.startswith(ENVIRONMENT_PREFIX):
            yield "--" + name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("_", "-")
            yield value
