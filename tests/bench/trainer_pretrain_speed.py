"""Tokens a second of pre-training, against transformers' Llama in a plain loop.

    make bench NAME=trainer_pretrain_speed

Both train the same configuration on the same batches, with the same optimizer, in the same
precision, in turns: a busy machine slows both. The best round of each counts.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch
from torch.nn.utils import clip_grad_norm_
from transformers import LlamaConfig, LlamaForCausalLM

from puna_trainer.config.hyperparameters import Precision
from puna_trainer.config.run import Device, Run
from puna_trainer.config.shape import Shape
from puna_trainer.device import DTYPES, autocast, choose_device, compute_type
from puna_trainer.distributed import ProcessGroup
from puna_trainer.language.batches import read_windows
from puna_trainer.language.flops import peak_flops, utilisation
from puna_trainer.language.pretrain import Training
from puna_trainer.language.tokenizer_stage import make_tokenizer
from puna_trainer.optimizer import BETAS
from puna_trainer.reporting.reporter import Reporter
from puna_trainer.stage import StageContext
from puna_trainer.stop import StopSignal
from tests.bench.report import Figure, report
from tests.bench.trainer_code_model import standard_library

ROUNDS: Final = 5
GOAL: Final = 1.0
SIZES: Final = {
    "cpu": {"layers": 4, "width": 256, "heads": 4, "contextLength": 256, "batchSize": 16},
    "cuda": {"layers": 12, "width": 768, "heads": 12, "contextLength": 1024, "batchSize": 16},
}
"""Shape and batch of the comparison."""
STEPS: Final = {"cpu": 3, "cuda": 10}
"""Steps of a round."""

Step = Callable[[], None]


def precisions(device: torch.device) -> list[Precision]:
    """Return what is measured: float32, and what the trainer would choose by itself."""
    chosen = compute_type(Precision.AUTO, device)
    return [name for name, dtype in DTYPES.items() if dtype in (torch.float32, chosen)]


def context_of(folder: Path, device: torch.device, precision: Precision) -> StageContext:
    """Return what the stages of a run are given, with data that is there."""
    size = dict(SIZES[device.type])
    batch_size = size.pop("batchSize")
    run = Run.model_validate(
        {
            "name": "speed",
            "task": "LanguageModel",
            "model": {**size, "vocabularySize": 4096},
            "dataset": {"uri": f"file://{folder}", "format": "text"},
            "stages": [{"name": "pretrain"}],
            "hyperparameters": {
                "batchSize": batch_size,
                "precision": precision,
                "deterministic": False,
                "epochs": 100,
            },
            "outputDirectory": str(folder),
        }
    )
    texts = [path.read_text(encoding="utf-8") for path in standard_library()[:60]]
    (folder / "data").mkdir(exist_ok=True)
    for name, part in (("train", texts[:56]), ("validation", texts[56:])):
        lines = "".join(json.dumps({"text": text}) + "\n" for text in part)
        (folder / "data" / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    reporter = Reporter(run, folder / "logs", write=lambda _line: None, clock=time.monotonic)
    return StageContext(run, folder, device, reporter, StopSignal(), ProcessGroup(), "0" * 64)


def ours(context: StageContext, *, compiled: bool) -> tuple[Step, Training]:
    """Return a step of the trainer, with all that it does between two checkpoints."""
    training = Training(context)
    if compiled:
        training.model.compile()

    def step() -> None:
        training.take_step()
        if training.has_to_look():
            training.look()

    return step, training


def theirs(training: Training, device: torch.device, dtype: torch.dtype) -> Step:
    """Return a step of a plain loop over transformers' Llama with the same configuration."""
    shape, chosen = training.shape, training.chosen
    model = LlamaForCausalLM(peer_config(shape))
    torch.nn.Module.to(model, device)  # transformers leaves its own without a type
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-3, betas=BETAS, weight_decay=0.1, fused=True
    )
    done = 0

    def step() -> None:
        nonlocal done
        windows = training.timetable.batches.of_step(done)
        inputs_BT, _ = read_windows(training.train_ids_N, windows, shape.context_length, device)
        with autocast(device, dtype):
            loss = model(inputs_BT, labels=inputs_BT).loss
        loss.backward()
        clip_grad_norm_(model.parameters(), chosen.gradient_clip)
        optimizer.step()
        optimizer.zero_grad()
        done += 1
        if device.type == "cpu" or done % 20 == 0:
            loss.item()

    return step


def peer_config(shape: Shape) -> LlamaConfig:
    """Return the same configuration in transformers' words."""
    return LlamaConfig(
        vocab_size=shape.vocabulary_size,
        hidden_size=shape.width,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.context_length,
        rms_norm_eps=shape.norm_epsilon,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_base},
        tie_word_embeddings=shape.tie_embeddings,
        use_cache=False,
    )


def seconds_of(step: Step, count: int, device: torch.device) -> float:
    """Return the time of some steps."""
    _synchronize(device)
    began = time.perf_counter()
    for _ in range(count):
        step()
    _synchronize(device)
    return time.perf_counter() - began


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> int:
    """Measure, and say whether the goal is met."""
    device = choose_device(Device.AUTO, {})
    accelerator = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    count = STEPS[device.type]
    figures: list[Figure] = []
    details: dict[str, object] = {"device": device.type, "threads": torch.get_num_threads()}
    for precision in precisions(device):
        dtype = compute_type(precision, device)
        with tempfile.TemporaryDirectory() as folder:
            context = context_of(Path(folder), device, precision)
            make_tokenizer(context)
            plain, training = ours(context, compiled=False)
            steps = {"ours": plain, "transformers": theirs(training, device, dtype)}
            if device.type == "cuda":  # the trainer compiles nothing elsewhere
                steps["ours, compiled"] = ours(context, compiled=True)[0]
            for step in steps.values():  # what is compiled and allocated once
                seconds_of(step, 2, device)
            best = dict.fromkeys(steps, float("inf"))
            for _ in range(ROUNDS):
                for name, step in steps.items():
                    best[name] = min(best[name], seconds_of(step, count, device))
            context.reporter.close()
        speed = {name: count * training.tokens_per_step / best[name] for name in steps}
        figures += [
            Figure(
                f"{name}, {precision}",
                speed[name],
                "tokens/s",
                anchor=speed["transformers"],
                goal=GOAL,
                at_least=True,
            )
            for name in steps
            if name != "transformers"
        ]
        peak = peak_flops(accelerator) if accelerator and dtype is torch.bfloat16 else None
        share = utilisation(training.shape, max(speed.values()), peak)
        if share is not None:
            details[f"MFU, {precision}"] = round(share, 3)
    suffix = "" if device.type == "cpu" else f"_{device.type}"
    return report(f"trainer_pretrain_speed{suffix}", figures, details, accelerator=accelerator)


if __name__ == "__main__":
    sys.exit(main())
