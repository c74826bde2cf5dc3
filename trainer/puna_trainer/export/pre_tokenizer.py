"""Pre-tokenizer: llama.cpp's name of how a tokenizer splits text before it merges. Pure.

A wrong name gives other ids without an error: plausible text, worse perplexity. Only those are here
whose ids the tests found equal (`llama-vocab.cpp`, `llm_tokenizer_bpe`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason

LLAMA_3: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Llama 3 splits text, from its `tokenizer.json`."""

Step = Mapping[str, Any]

_GPT_2: Final[Step] = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
_BYTES: Final[Step] = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
_DIGITS: Final[Step] = {"type": "Digits", "individual_digits": True}
_SPLIT: Final[Step] = {
    "type": "Split",
    "pattern": {"Regex": LLAMA_3},
    "behavior": "Isolated",
    "invert": False,
}

KNOWN: Final[dict[str, tuple[tuple[Step, ...], bool]]] = {
    "gpt-2": ((_GPT_2,), False),
    "smollm": ((_DIGITS, _GPT_2), False),
    "llama-bpe": ((_SPLIT, _BYTES), True),
}
"""llama.cpp's names, the steps of `tokenizer.json` that they stand for, and whether a word that is
a token is taken whole, whatever the merges say (`ignore_merges`)."""


def pre_tokenizer(tokenizer: Mapping[str, Any]) -> str:
    """Return llama.cpp's name of what a `tokenizer.json` does before it merges.

    Raises:
        TrainingError: llama.cpp has no name for it.
    """
    found = tuple(_steps(tokenizer.get("pre_tokenizer")))
    ignores_merges = bool(tokenizer["model"].get("ignore_merges"))
    for name, (steps, ignores) in KNOWN.items():
        if found == steps and ignores_merges == ignores:
            return name
    kinds = " + ".join(str(step["type"]) for step in found) or "none"
    raise TrainingError(
        FailureReason.BAD_CONFIG,
        f"the tokenizer splits text ({kinds}) in a way that llama.cpp has no name for; a GGUF "
        f"needs that of {', '.join(KNOWN)}",
    )


def _steps(pre_tokenizer: Mapping[str, Any] | None) -> Iterator[Step]:
    """Yield the steps, those of a sequence one by one, without what changes offsets alone."""
    if pre_tokenizer is None:
        return
    if pre_tokenizer["type"] == "Sequence":
        for step in pre_tokenizer["pretokenizers"]:
            yield from _steps(step)
    else:
        yield {name: value for name, value in pre_tokenizer.items() if name != "trim_offsets"}
