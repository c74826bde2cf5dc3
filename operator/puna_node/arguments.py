"""Which arguments a llama-server may be given on this host. Pure.

Its flags execute commands, download, connect to other hosts and read and write files, and every
version brings new ones. So a Pod may use the flags of `llama_flags.FLAGS` alone, in the spellings
there, and those that name a file may name one of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from puna_node.llama_flags import FLAGS
from puna_node.mounts import is_plainly_within

FILES: Final = frozenset(
    {
        *("-m", "--model"),
        *("-mm", "--mmproj"),
        "--api-key-file",
        *("--ssl-key-file", "--ssl-cert-file"),
        "--chat-template-file",
        "--slot-save-path",
    }
)
"""Flags whose value is a path."""
HOST: Final = "--host"
"""Its value is an address; one that ends with `.sock` would be a file."""
TEXT: Final = "--chat-template"
"""Its value may begin like a flag."""
_LIKE_A_FLAG: Final = re.compile(r"--?[A-Za-z]")


def refused_argument(arguments: Sequence[str], folders: Sequence[str]) -> str | None:
    """Why llama-server may not be started so; None if it may.

    Args:
        arguments: after mount paths were rewritten.
        folders: what its files have to lie in.
    """
    return next(_findings(arguments, folders), None)


def _findings(arguments: Sequence[str], folders: Sequence[str]) -> Iterator[str]:
    rest = iter(arguments)
    for argument in rest:
        # Upstream takes underscores in long names too.
        name = argument.replace("_", "-") if argument.startswith("--") else argument
        flag = FLAGS.get(name)
        if flag is None:
            # Also `--flag=value`, which llama-server does not take.
            yield f"args: {argument} is not among the flags of llama-server allowed on this node"
            return
        if flag.parse is None:
            continue
        value = next(rest, None)
        if value is None:
            yield f"args: {argument} needs a value"
        elif name != TEXT and _LIKE_A_FLAG.match(value):
            # Another version may take no value here, and would read this as a flag.
            yield f"args: {argument} {value}: the value looks like a flag"
        elif name in FILES and not is_plainly_within(value, folders):
            yield f"args: {argument} {value} is outside the Pod's volumes"
        elif name == HOST and ("/" in value or value.endswith(".sock")):
            yield f"args: {argument} {value}: has to be an address"
