"""What the operator reads of the trainer needs none of the trainer's libraries."""

from __future__ import annotations

import subprocess
import sys

from puna.api.evaluation import EvaluationMetric
from puna_trainer.language.evaluation_report import (
    Answer,
    Completions,
    EvaluationReport,
    Measured,
)
from puna_trainer.progress import CheckpointNote

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


def test_every_metric_that_a_canary_may_be_gated_by_is_measured() -> None:
    measured = Measured(perplexity=2, bits_per_byte=1)
    right = Answer(prompt="a", expected="b", written="b", is_right=True, bigram_is_right=False)
    report = EvaluationReport(
        checkpoint=CheckpointNote(name="step_1", step=1, sha256="0" * 64),
        documents=1,
        tokens=1,
        text_bytes=1,
        model=measured,
        bigram=measured,
        chance=measured,
        answers=(right,),
        completions=Completions(count=1, parsed=1, bigram_parsed=0),
    )
    assert set(EvaluationMetric) <= report.metrics().keys()
