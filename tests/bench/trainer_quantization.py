"""What each type of file loses, over models of several shapes, hardly and well trained.

The bounds of `puna_trainer.export.gates` come from here: they leave room above the worst of these.
Models learn modules of the standard library and are measured on others.
"""

from __future__ import annotations

import random
import sys
import sysconfig
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer
from torch.nn import functional

from puna_trainer.config.output import ArtifactType
from puna_trainer.config.shape import Shape
from puna_trainer.export.gates import BOUNDS
from puna_trainer.export.gguf_file import WRITTEN
from puna_trainer.export.parity import measure
from puna_trainer.export.quantize import quantize
from puna_trainer.export.reference import Reference
from puna_trainer.language.model import Llama
from puna_trainer.language.tokenizer import train_tokenizer
from puna_trainer.progress import Parity
from tests.bench.report import Figure, report
from tests.trainer.export.models import Model, vocabulary

VOCABULARY = 4096
WINDOW = 128
BATCH = 8
RATE = 2e-3
SMALL = Shape(
    layers=4,
    width=256,
    heads=4,
    kv_heads=2,
    feed_forward=768,
    context_length=256,
    vocabulary_size=VOCABULARY,
    rope_base=10_000.0,
    norm_epsilon=1e-5,
    tie_embeddings=True,
)
WIDE = replace(SMALL, layers=6, width=512, heads=8, kv_heads=4, feed_forward=1536)


class Course(NamedTuple):
    """A model to train, and the steps after which it is measured."""

    shape: Shape
    steps: tuple[int, ...]


COURSES = {
    "4.1M, tied": Course(SMALL, (40, 250)),
    "5.5M, untied": Course(replace(SMALL, kv_heads=4, tie_embeddings=False), (40, 200)),
    "20M, tied": Course(WIDE, (150,)),
}


def modules() -> tuple[list[str], list[str]]:
    """Texts to learn, and texts to be measured on."""
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    random.Random(0).shuffle(files)
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in files]
    return texts[:160], texts[160:]


def train(course: Course, ids_N: torch.Tensor) -> Iterator[tuple[int, Llama]]:
    """Yield the model after each of the steps of its course."""
    torch.manual_seed(1)
    model = Llama(course.shape)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.1, betas=(0.9, 0.95))
    last = max(course.steps)
    for step in range(1, last + 1):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, step / 20) * (1 - 0.9 * step / last)
        starts_B1 = torch.randint(len(ids_N) - WINDOW - 1, (BATCH, 1))
        batch_BT = ids_N[starts_B1 + torch.arange(WINDOW + 1)]
        logits = model(batch_BT[:, :-1]).flatten(0, 1)
        loss = functional.cross_entropy(logits, batch_BT[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step in course.steps:
            yield step, model


def parities(
    llama: Llama, tokenizer: Tokenizer, documents: list[str]
) -> Iterator[tuple[ArtifactType, Parity]]:
    """Yield what was measured of each type of file of a model."""
    weights = {name: weight.detach().clone() for name, weight in llama.state_dict().items()}
    model = Model(llama.shape, weights, tokenizer, vocabulary(tokenizer, VOCABULARY))
    reference = Reference(llama.shape, weights, tokenizer, documents)
    with tempfile.TemporaryDirectory() as folder:
        base = model.write(Path(folder) / "F32.gguf")
        for kind in BOUNDS:
            path = Path(folder) / f"{kind}.gguf"
            if kind not in WRITTEN:
                quantize(base, path, kind)
            elif kind is not ArtifactType.F32:
                model.write(path, kind)
            yield kind, measure(path, reference)


def figures(found: dict[ArtifactType, list[Parity]]) -> Iterator[Figure]:
    """Yield the worst of each measure that has a bound, and of divergence in any case."""
    for kind, measured in found.items():
        bounds = BOUNDS[kind]
        worst: dict[str, tuple[float, float | None, bool]] = {
            "NMSE": (max(parity.nmse for parity in measured), bounds.nmse, False),
            "mean KLD": (max(parity.kld or 0 for parity in measured), bounds.kld, False),
            "top 1": (min(parity.top1 or 0 for parity in measured), bounds.top1, True),
            "perplexity ratio": (
                max(parity.perplexity_ratio or 0 for parity in measured),
                bounds.perplexity_ratio,
                False,
            ),
        }
        for name, (value, goal, at_least) in worst.items():
            yield Figure(f"{kind} {name}, worst", value, goal=goal, at_least=at_least)


def main() -> int:
    """Train, export, measure."""
    learned, held_out = modules()
    tokenizer = train_tokenizer(learned, vocabulary_size=VOCABULARY)
    ids_N = torch.tensor([token for text in learned for token in tokenizer.encode(text).ids])
    found: dict[ArtifactType, list[Parity]] = defaultdict(list)
    details: dict[str, Any] = {}
    for name, course in COURSES.items():
        for step, llama in train(course, ids_N):
            for kind, parity in parities(llama, tokenizer, held_out):
                print(f"{name}, {step} steps, {kind}: {parity}", flush=True)
                found[kind].append(parity)
                details[f"{name}, {step} steps, {kind}"] = parity.model_dump(mode="json")
    return report("trainer_quantization", list(figures(found)), details)


if __name__ == "__main__":
    sys.exit(main())
