"""llama.cpp, through llama-cpp-python: ids, logits and greedy text of a GGUF, on the processor.

Keys and values are cached in F32 and attention is computed without flash attention, so that nothing
but the file and the order of sums can make a difference to the trained model.
"""

from __future__ import annotations

import ctypes
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import torch

from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason

Logits = npt.NDArray[np.float32]

CHUNK: Final = 256
"""Positions that are computed, and handed out, at a time."""
ADD_AND_PARSE_SPECIAL: Final = (True, True)
"""Last arguments of `llama_tokenize`."""
_WARNING: Final = 3
_ERROR: Final = 4
"""Levels of its log that tell why something failed (`ggml.h`, `ggml_log_level`)."""


class LibraryLog:
    """The last warnings and errors of llama.cpp, which otherwise go to standard error."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=8)

    def add(self, level: int, text: bytes) -> None:
        """Keep a line that tells of something wrong."""
        line = text.decode(errors="replace").strip()
        if level in {_WARNING, _ERROR} and line:
            self._lines.append(line)

    def last(self) -> str:
        """Return what was said since it was last asked, and forget it."""
        said = "; ".join(self._lines)
        self._lines.clear()
        return said or "it gives no reason"


@cache
def quiet_library() -> tuple[Any, LibraryLog]:
    """Return llama.cpp's functions, and where its log goes to.

    Raises:
        ImportError, OSError, RuntimeError: llama-cpp-python is not there, or does not load.
    """
    from llama_cpp import llama_cpp as library  # noqa: PLC0415 - a run without GGUF needs none

    log = LibraryLog()
    callback = library.llama_log_callback(lambda level, text, _: log.add(level, text))
    log.callback = callback  # type: ignore[attr-defined] # C holds it, so it must not be collected
    library.llama_log_set(callback, None)
    library.llama_backend_init()
    return library, log


class LlamaFile:
    """A GGUF that is loaded; a context manager."""

    def __init__(self, path: Path, *, context_length: int) -> None:
        """Load a file, with room for so many tokens.

        Raises:
            TrainingError: llama.cpp refuses it, with its own words.
        """
        self._library, log = quiet_library()
        self._stack = ExitStack()
        parameters = self._library.llama_model_default_params()
        parameters.n_gpu_layers = 0
        log.last()
        self._model = self._library.llama_model_load_from_file(os.fsencode(path), parameters)
        if not self._model:
            raise _refused(path, log.last())
        self._stack.callback(self._library.llama_model_free, self._model)
        self._context = self._library.llama_init_from_model(
            self._model, self._context_parameters(context_length)
        )
        if not self._context:
            self._stack.close()
            raise _refused(path, log.last())
        self._stack.callback(self._library.llama_free, self._context)
        self._vocabulary = self._library.llama_model_get_vocab(self._model)
        self._path = path
        self._log = log
        self._length = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def tokens(self) -> int:
        """Tokens of the vocabulary."""
        return int(self._library.llama_vocab_n_tokens(self._vocabulary))

    def tokenize(self, text: str) -> list[int]:
        """Return the ids of a document: special tokens in it count, and the file adds its own."""
        encoded = text.encode()
        room = len(encoded) + 8
        buffer = (ctypes.c_int32 * room)()
        count = self._library.llama_tokenize(
            self._vocabulary,
            encoded,
            len(encoded),
            buffer,
            room,
            *ADD_AND_PARSE_SPECIAL,
        )
        return list(buffer[:count])

    def ends(self, token: int) -> bool:
        """Return whether generation ends with a token."""
        return bool(self._library.llama_vocab_is_eog(self._vocabulary, token))

    def logits(self, ids: Sequence[int]) -> Iterator[Logits]:
        """Yield the logits after each token of a text from its beginning, some positions at a time.

        Each is of shape (positions, vocabulary), and holds until the next one is asked for.
        """
        self._forget()
        for start in range(0, len(ids), CHUNK):
            yield self._decode(ids[start : start + CHUNK])

    def greedy(self, ids: Sequence[int], count: int) -> list[int]:
        """Return the `count` tokens, or fewer if it ends, that are the likeliest after `ids`."""
        for last in self.logits(ids):
            likeliest = int(last[-1].argmax())
        written: list[int] = []
        while not self.ends(likeliest) and len(written) < count:
            written.append(likeliest)
            likeliest = int(self._decode([likeliest])[-1].argmax())
        return written

    def _context_parameters(self, context_length: int) -> Any:
        library = self._library
        parameters = library.llama_context_default_params()
        parameters.n_ctx = context_length
        parameters.n_batch = parameters.n_ubatch = CHUNK
        parameters.n_threads = parameters.n_threads_batch = torch.get_num_threads()
        parameters.type_k = parameters.type_v = library.GGML_TYPE_F32
        parameters.flash_attn_type = library.LLAMA_FLASH_ATTN_TYPE_DISABLED
        parameters.offload_kqv = parameters.op_offload = False
        return parameters

    def _forget(self) -> None:
        self._library.llama_memory_clear(self._library.llama_get_memory(self._context), True)  # noqa: FBT003
        self._length = 0

    def _decode(self, ids: Sequence[int]) -> Logits:
        """Compute tokens that come after those before; logits of shape (tokens, vocabulary)."""
        batch = self._library.llama_batch_init(len(ids), 0, 1)
        try:
            batch.n_tokens = len(ids)
            for index, token in enumerate(ids):
                batch.token[index] = token
                batch.pos[index] = self._length + index
                batch.n_seq_id[index] = 1
                batch.seq_id[index][0] = 0
                batch.logits[index] = 1
            if self._library.llama_decode(self._context, batch):
                raise _refused(self._path, self._log.last())
        finally:
            self._library.llama_batch_free(batch)
        self._length += len(ids)
        pointer = self._library.llama_get_logits(self._context)
        return np.ctypeslib.as_array(pointer, shape=(len(ids), self.tokens))


def _refused(path: Path, words: str) -> TrainingError:
    return TrainingError(
        FailureReason.PARITY_FAILED, f"llama.cpp does not load {path.name}: {words}"
    )
