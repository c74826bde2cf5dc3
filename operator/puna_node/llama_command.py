"""Which llama-server a host runs. Pure."""

from __future__ import annotations

LLAMA_SERVER = "llama-server"
"""Name of llama.cpp's server on PATH."""


def llama_command(
    explicit: str | None, *, found_on_path: str | None, python: str
) -> tuple[str, ...]:
    """Argument vector that starts llama-server; its flags follow.

    Args:
        explicit: path given by the user; wins.
        found_on_path: what `shutil.which(LLAMA_SERVER)` says.
        python: interpreter that has the `xllamacpp` wheel, for the in-process server.
    """
    if explicit:
        return (explicit,)
    if found_on_path:
        return (found_on_path,)
    return (python, "-P", "-m", "puna_node.llama_server")
