"""A code model from the source of Python's standard library, on this machine's processor.

    make bench NAME=trainer_code_model

From files to verified GGUFs, by `python -m puna_trainer run.json`. Test suites and generated
tables are left out; the modules that are measured on were held back from everything before.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from tests.bench.report import Figure, report

MOST_SECONDS: Final = 900
LEFT_OUT: Final = frozenset(
    {
        "__pycache__",
        "ensurepip",
        "encodings",
        "idlelib",
        "lib2to3",
        "pydoc_data",
        "site-packages",
        "test",
        "tests",
        "turtledemo",
    }
)
"""Folders that hold tests, tables or other people's code."""
RUN: Final[dict[str, Any]] = {
    "name": "code",
    "task": "LanguageModel",
    "model": {
        "layers": 4,
        "width": 256,
        "heads": 4,
        "contextLength": 256,
        "vocabularySize": 4096,
    },
    "dataset": {"format": "text", "include": ["*.py"], "validationPercent": 10},
    "preparation": {"minCharacters": 100, "redact": False},
    "stages": [
        {"name": "data"},
        {"name": "tokenizer"},
        {"name": "pretrain"},
        {"name": "evaluate"},
        {"name": "export"},
    ],
    "export": {"types": ["F16", "Q8_0", "Q4_K_M"]},
    "hyperparameters": {
        "epochs": 1,
        "maxSteps": 450,
        "batchSize": 16,
        "learningRate": 0.003,
    },
    "device": "cpu",
}


def standard_library() -> list[Path]:
    """Return the modules of the standard library, in order."""
    root = Path(sysconfig.get_path("stdlib"))
    return sorted(
        path
        for path in root.rglob("*.py")
        if not LEFT_OUT.intersection(path.relative_to(root).parts) and path.stat().st_size
    )


def main() -> int:
    """Train and measure; say whether the goals are met."""
    root = Path(sysconfig.get_path("stdlib"))
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder, "source"), Path(folder, "output")
        for path in standard_library():
            place = source / path.relative_to(root)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        run = RUN | {
            "dataset": RUN["dataset"] | {"uri": f"file://{source}"},
            "outputDirectory": str(output),
        }
        file = Path(folder, "run.json")
        file.write_text(json.dumps(run), encoding="utf-8")
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "puna_trainer", str(file)], check=True)
        seconds = time.monotonic() - began
        result = json.loads((output / "result.json").read_text(encoding="utf-8"))
        found = json.loads((output / "evaluation.json").read_text(encoding="utf-8"))
    completions = found["completions"]
    figures = [
        Figure("from files to verified GGUFs", seconds, "s", goal=MOST_SECONDS),
        Figure(
            "perplexity on held-out modules, against a smoothed bigram",
            found["model"]["perplexity"],
            anchor=found["bigram"]["perplexity"],
            goal=1,
        ),
        Figure("bits per byte", found["model"]["bitsPerByte"]),
        Figure("completions that parse", completions["parsed"], f"of {completions['count']}"),
        Figure(
            "completions that parse, beyond the bigram's",
            completions["parsed"] - completions["bigramParsed"],
            f"of {completions['count']}",
            goal=1,
            at_least=True,
        ),
    ]
    figures += [
        Figure(f"{artifact['type']}, perplexity against the trained model's", ratio)
        for artifact in result["artifacts"]
        if (ratio := artifact.get("parity", {}).get("perplexityRatio")) is not None
    ]
    details = {"chance": found["chance"], "bigram": found["bigram"], "tokens": found["tokens"]}
    return report("trainer_code_model", figures, details)


if __name__ == "__main__":
    sys.exit(main())
