"""Write the generated files: `python -m hack.generate`; with `--check` compare them."""

from __future__ import annotations

import sys
from pathlib import Path

from hack.generate.files import generated_files, leftovers

ROOT = Path(__file__).parents[2]
COMMAND = "make generate"


def differing(root: Path) -> list[str]:
    """Return the generated files whose bytes differ, are missing, or should not be there."""
    wanted = generated_files(root)
    return sorted(
        [
            path
            for path, text in wanted.items()
            if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
        ]
        + leftovers(root, wanted)
    )


def main(arguments: list[str]) -> int:
    """Write or compare, as the arguments say."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python -m hack.generate [--check]\n")
        return 2
    stale = differing(ROOT)
    if arguments:
        for path in stale:
            sys.stderr.write(f"{path} is not what its sources say: run `{COMMAND}`\n")
        return 1 if stale else 0
    wanted = generated_files(ROOT)
    for path in stale:
        if path in wanted:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(wanted[path], encoding="utf-8")
            sys.stdout.write(f"wrote {path}\n")
        else:
            (ROOT / path).unlink()
            sys.stdout.write(f"removed {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
