"""`make bench [NAME=...]`: run the benchmarks of this folder, one after the other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
NO_BENCHMARKS = ("__init__", "__main__", "report")


def names() -> list[str]:
    """Benchmarks: the modules here that have a `main`."""
    modules = sorted(path.stem for path in FOLDER.glob("*.py"))
    return [name for name in modules if name not in NO_BENCHMARKS and runs(FOLDER / f"{name}.py")]


def runs(module: Path) -> bool:
    """Whether a module is a benchmark and no helper of one."""
    return 'if __name__ == "__main__"' in module.read_text(encoding="utf-8")


def main(asked: list[str]) -> int:
    """Run what is asked for, else all; 0 if every figure of every benchmark holds."""
    known = names()
    unknown = [name for name in asked if name not in known]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}")
        return 2
    failed: list[str] = []
    for name in asked or known:
        print(f"== {name}", flush=True)
        command = [sys.executable, "-m", f"tests.bench.{name}"]
        if subprocess.run(command, cwd=FOLDER.parents[1], check=False).returncode != 0:
            failed.append(name)
    if failed:
        print(f"not as promised: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
