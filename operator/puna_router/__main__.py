"""Entry of `python -m puna_router`; `commands` says what there is."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and say its exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["picker"]:
        # Apart from the others: requests wait for it, and it needs none of their imports.
        from puna_router.picker.program import main as picker  # noqa: PLC0415

        return picker(given[1:])
    from puna_router.commands import main as other  # noqa: PLC0415

    return other(given)


if __name__ == "__main__":
    sys.exit(main())
