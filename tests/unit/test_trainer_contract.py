"""What the operator reads of the trainer needs none of the trainer's libraries."""

from __future__ import annotations

import subprocess
import sys

BLOCKED = (
    "fsspec",
    "gguf",
    "huggingface_hub",
    "llama_cpp",
    "matplotlib",
    "numpy",
    "PIL",
    "pyarrow",
    "s3fs",
    "safetensors",
    "tensorboard",
    "tokenizers",
    "torch",
    "torchmetrics",
    "torchvision",
)
READ = ("config.run", "config.refusals", "exits", "progress")


def test_the_contract_can_be_read_without_them() -> None:
    blocks = "".join(f"sys.modules[{name!r}] = None\n" for name in BLOCKED)
    reads = "".join(f"import puna_trainer.{name}\n" for name in READ)
    subprocess.run([sys.executable, "-c", f"import sys\n{blocks}{reads}"], check=True, timeout=60)
