"""Byte-level BPE: what turns text into the numbers that a language model reads.

Training it gives what llama.cpp knows as pre-tokenizer `gpt-2`: the regular expression of GPT-2, no
normaliser, no space before the first word.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.files import file_digest, write_json

END_OF_TEXT: Final = "<|endoftext|>"
"""Stands before every document; first token of a prompt, and end of what is generated."""
TURN_START: Final = "<|im_start|>"
"""Begins a turn of a chat (ChatML)."""
TURN_END: Final = "<|im_end|>"
"""Ends a turn of a chat."""
PADDING: Final = "<|pad|>"
"""Fills rows. It is no end token: a model that never learns its end never stops."""
SPECIAL_TOKENS: Final = (END_OF_TEXT, TURN_START, TURN_END, PADDING)
"""Ids 0 to 3."""
CHAT_TEMPLATE: Final = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""ChatML in Jinja. It writes no first token: whoever renders it adds one (`add_bos_token`)."""


def train_tokenizer(texts: Iterable[str], *, vocabulary_size: int) -> Tokenizer:
    """Learn `vocabulary_size` tokens, special ones included, from texts.

    Equal texts in equal order give an equal tokenizer.

    Raises:
        TrainingError: the texts hold fewer tokens than that.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[AddedToken(token, special=True) for token in SPECIAL_TOKENS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    learned = tokenizer.get_vocab_size()
    if learned != vocabulary_size:
        raise TrainingError(
            FailureReason.BAD_CONFIG,
            f"model.vocabularySize is {vocabulary_size}, but the texts hold {learned} tokens in "
            "all; make it at most that, or give more text",
        )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{END_OF_TEXT} $A",
        pair=f"{END_OF_TEXT} $A {END_OF_TEXT} $B",
        special_tokens=[(END_OF_TEXT, tokenizer.token_to_id(END_OF_TEXT))],
    )
    return tokenizer


def tokenizer_config(context_length: int) -> dict[str, Any]:
    """Return the content of `tokenizer_config.json`."""
    return {
        "add_bos_token": True,
        "add_eos_token": False,
        "add_prefix_space": False,
        "bos_token": END_OF_TEXT,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": END_OF_TEXT,
        "model_max_length": context_length,
        "pad_token": PADDING,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


def save_tokenizer(tokenizer: Tokenizer, folder: Path, *, context_length: int) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json`; the first comes last, and at once."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "tokenizer_config.json", tokenizer_config(context_length))
    partial = folder / "tokenizer.json.partial"
    tokenizer.save(str(partial), pretty=True)
    partial.replace(folder / "tokenizer.json")


def tokenizer_hash(folder: Path) -> str:
    """Return the SHA-256 of a folder's `tokenizer.json`, in hex."""
    return file_digest(folder / "tokenizer.json")
