"""llama-server's command line as values: which flag sets which parameter of llama.cpp.

Pure. The table names what this project's servers are started with, in upstream's spelling; a flag
outside it is an error with upstream's wording, never ignored. Environment variables `LLAMA_ARG_*`
are not read: flags are always explicit here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias


class FlagError(ValueError):
    """A command line that llama-server would refuse; its text is what to print."""


@dataclass(frozen=True, slots=True)
class EnumMember:
    """A member of one of the library's enumerations, by name."""

    enumeration: str
    name: str


@dataclass(frozen=True, slots=True)
class FileText:
    """A value that is read from a file when the parameters are applied."""

    path: str


@dataclass(frozen=True, slots=True)
class KeyFile:
    """API keys in a file, one per line; lines that start with `#` are comments."""

    path: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """One parameter to set: a dotted path below `CommonParams` and its value."""

    flag: str
    parameter: str
    value: Any


Parse: TypeAlias = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag with its spellings; without `parse` it takes no value and sets `constant`."""

    names: tuple[str, ...]
    parameters: tuple[str, ...]
    parse: Parse | None = None
    constant: Any = None


def parse_flags(arguments: Sequence[str]) -> tuple[Assignment, ...]:
    """Parameters that the command line sets, in its order (the last one wins, as upstream).

    Raises:
        FlagError: unknown flag, missing value, or a value of the wrong kind.
    """
    return tuple(_assignments(arguments))


def _assignments(arguments: Sequence[str]) -> Iterator[Assignment]:
    rest = iter(arguments)
    for argument in rest:
        # Upstream takes underscores in long names too.
        name = argument.replace("_", "-") if argument.startswith("--") else argument
        flag = FLAGS.get(name)
        if flag is None:
            raise FlagError(f"error: invalid argument: {argument}")
        value = flag.constant
        if flag.parse is not None:
            text = next(rest, None)
            if text is None:
                raise FlagError(_while_handling(argument, "expected value for argument"))
            try:
                value = flag.parse(text)
            except ValueError as error:
                raise FlagError(_while_handling(argument, str(error))) from error
        for parameter in flag.parameters:
            yield Assignment(argument, parameter, value)


def _while_handling(argument: str, problem: str) -> str:
    return f'error while handling argument "{argument}": {problem}'


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"invalid integer: {text}") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"invalid number: {text}") from None


def _switch(text: str) -> bool:
    if text in {"on", "enabled", "true", "1"}:
        return True
    if text in {"off", "disabled", "false", "0"}:
        return False
    raise ValueError(f"unknown value for a switch: '{text}'")


def _layers(text: str) -> int:
    return {"auto": -1, "all": -2}.get(text) or _integer(text)


def _reciprocal(text: str) -> float:
    scale = _number(text)
    if scale <= 0:
        raise ValueError(f"has to be above 0: {text}")
    return 1.0 / scale


def _list(text: str) -> list[str]:
    return [item for item in text.split(",") if item]


def _set(text: str) -> set[str]:
    return {item.strip() for item in text.split(",") if item.strip()}


def _template_arguments(text: str) -> dict[str, str]:
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("expected a JSON object")  # noqa: TRY004 - a bad flag, not a bug
    return {key: json.dumps(value) for key, value in document.items()}


def _member(enumeration: str, members: Mapping[str, str]) -> Parse:
    def parse(text: str) -> EnumMember:
        if text not in members:
            raise ValueError(f"unknown value '{text}', allowed: {', '.join(members)}")
        return EnumMember(enumeration, members[text])

    return parse


def _members(enumeration: str, prefix: str, names: str) -> Parse:
    return _member(enumeration, {name: prefix + name.upper() for name in names.split()})


_CACHE_TYPE = _members("ggml_type", "GGML_TYPE_", "f32 f16 bf16 q8_0 q4_0 q4_1 iq4_nl q5_0 q5_1")
_FLASH_PREFIX = "LLAMA_FLASH_ATTN_TYPE_"
_FLASH_ATTENTION = _member(
    "llama_flash_attn_type",
    {
        **dict.fromkeys(("on", "enabled", "true", "1"), f"{_FLASH_PREFIX}ENABLED"),
        **dict.fromkeys(("off", "disabled", "false", "0"), f"{_FLASH_PREFIX}DISABLED"),
        **dict.fromkeys(("auto", "-1"), f"{_FLASH_PREFIX}AUTO"),
    },
)
_LOAD_MODE = _member(
    "llama_load_mode",
    {
        "auto": "LLAMA_LOAD_MODE_AUTO",
        "none": "LLAMA_LOAD_MODE_NONE",
        "mmap": "LLAMA_LOAD_MODE_MMAP",
        "mlock": "LLAMA_LOAD_MODE_MLOCK",
        "mmap+mlock": "LLAMA_LOAD_MODE_MMAP_MLOCK",
        "dio": "LLAMA_LOAD_MODE_DIRECT_IO",
    },
)
_REASONING_FORMAT = _member(
    "common_reasoning_format",
    {
        "none": "COMMON_REASONING_FORMAT_NONE",
        "auto": "COMMON_REASONING_FORMAT_AUTO",
        "deepseek": "COMMON_REASONING_FORMAT_DEEPSEEK",
        "deepseek-legacy": "COMMON_REASONING_FORMAT_DEEPSEEK_LEGACY",
    },
)


def _table() -> Iterator[Flag]:
    def value(names: str, parameters: str, parse: Parse) -> Flag:
        return Flag(tuple(names.split()), tuple(parameters.split()), parse)

    def constant(names: str, parameters: str, fixed: Any) -> Flag:
        return Flag(tuple(names.split()), tuple(parameters.split()), constant=fixed)

    def pair(on: str, off: str, parameter: str) -> Iterator[Flag]:
        yield constant(on, parameter, fixed=True)
        yield constant(off, parameter, fixed=False)

    # Model and names
    yield value("-m --model", "model.path", str)
    yield value("-a --alias", "model_alias", _set)
    yield value("--tags", "model_tags", _set)
    yield value("-mm --mmproj", "mmproj.path", str)
    # Where it listens, and who may ask
    yield value("--host", "hostnames", _list)
    yield value("--port", "port", _integer)
    yield constant("--reuse-port", "reuse_port", fixed=True)
    yield value("--api-prefix", "api_prefix", str)
    yield value("--api-key", "api_keys", _list)
    yield value("--api-key-file", "api_keys", KeyFile)
    yield value("--ssl-key-file", "ssl_file_key", str)
    yield value("--ssl-cert-file", "ssl_file_cert", str)
    yield value("--cors-origins", "cors_origins", str)
    yield value("--threads-http", "n_threads_http", _integer)
    yield value("-to --timeout", "timeout_read timeout_write", _integer)
    yield value("--sse-ping-interval", "sse_ping_interval", _integer)
    # What it offers
    yield constant("--metrics", "endpoint_metrics", fixed=True)
    yield constant("--props", "endpoint_props", fixed=True)
    yield from pair("--slots", "--no-slots", "endpoint_slots")
    yield from pair("--ui --webui", "--no-ui --no-webui", "ui")
    yield constant("--embedding --embeddings", "embedding", fixed=True)
    yield value(
        "--pooling",
        "pooling_type",
        _members("llama_pooling_type", "LLAMA_POOLING_TYPE_", "none mean cls last rank"),
    )
    # Slots, context and cache
    yield value("-np --parallel", "n_parallel", _integer)
    yield value("-c --ctx-size", "n_ctx", _integer)
    yield from pair("-kvu --kv-unified", "-no-kvu --no-kv-unified", "kv_unified")
    yield value("-b --batch-size", "n_batch", _integer)
    yield value("-ub --ubatch-size", "n_ubatch", _integer)
    yield from pair("-cb --cont-batching", "-nocb --no-cont-batching", "cont_batching")
    yield value("-ctk --cache-type-k", "cache_type_k", _CACHE_TYPE)
    yield value("-ctv --cache-type-v", "cache_type_v", _CACHE_TYPE)
    yield value("-fa --flash-attn", "flash_attn_type", _FLASH_ATTENTION)
    yield from pair("--cache-prompt", "--no-cache-prompt", "cache_prompt")
    yield value("--cache-reuse", "n_cache_reuse", _integer)
    yield value("-cram --cache-ram", "cache_ram_mib", _integer)
    yield from pair("--cache-idle-slots", "--no-cache-idle-slots", "cache_idle_slots")
    yield value("-ctxcp --ctx-checkpoints", "n_ctx_checkpoints", _integer)
    yield value("-sps --slot-prompt-similarity", "slot_prompt_similarity", _number)
    yield value("--slot-save-path", "slot_save_path", str)
    yield from pair("--context-shift", "--no-context-shift", "ctx_shift")
    yield constant("--swa-full", "swa_full", fixed=True)
    yield value("--keep", "n_keep", _integer)
    # Compute
    yield value("-t --threads", "cpuparams.n_threads", _integer)
    yield value("-tb --threads-batch", "cpuparams_batch.n_threads", _integer)
    yield value("-ngl --gpu-layers --n-gpu-layers", "n_gpu_layers", _layers)
    yield value("-mg --main-gpu", "main_gpu", _integer)
    yield value(
        "-sm --split-mode",
        "split_mode",
        _members("llama_split_mode", "LLAMA_SPLIT_MODE_", "none layer row"),
    )
    yield value("-fit --fit", "fit_params", _switch)
    yield value("-lm --load-mode", "load_mode", _LOAD_MODE)
    yield from pair("--warmup", "--no-warmup", "warmup")
    yield constant("--check-tensors", "check_tensors", fixed=True)
    # Positions
    yield value(
        "--rope-scaling",
        "rope_scaling_type",
        _members("llama_rope_scaling_type", "LLAMA_ROPE_SCALING_TYPE_", "none linear yarn"),
    )
    yield value("--rope-scale", "rope_freq_scale", _reciprocal)
    yield value("--rope-freq-base", "rope_freq_base", _number)
    yield value("--rope-freq-scale", "rope_freq_scale", _number)
    yield value("--yarn-orig-ctx", "yarn_orig_ctx", _integer)
    yield value("--yarn-ext-factor", "yarn_ext_factor", _number)
    yield value("--yarn-attn-factor", "yarn_attn_factor", _number)
    yield value("--yarn-beta-slow", "yarn_beta_slow", _number)
    yield value("--yarn-beta-fast", "yarn_beta_fast", _number)
    # Prompts
    yield value("--chat-template", "chat_template", str)
    yield value("--chat-template-file", "chat_template", FileText)
    yield value("--chat-template-kwargs", "default_template_kwargs", _template_arguments)
    yield from pair("--jinja", "--no-jinja", "use_jinja")
    yield value("--reasoning-format", "reasoning_format", _REASONING_FORMAT)
    # Defaults of requests
    yield value("-n --predict --n-predict", "n_predict", _integer)
    yield value("-s --seed", "sampling.seed", _integer)
    yield value("--temp --temperature", "sampling.temp", _number)
    yield value("--top-k", "sampling.top_k", _integer)
    yield value("--top-p", "sampling.top_p", _number)
    yield value("--min-p", "sampling.min_p", _number)
    yield value("--repeat-penalty", "sampling.penalty_repeat", _number)
    yield value("--repeat-last-n", "sampling.penalty_last_n", _integer)
    yield value("--presence-penalty", "sampling.penalty_present", _number)
    yield value("--frequency-penalty", "sampling.penalty_freq", _number)
    # Log
    yield value("-lv --verbosity --log-verbosity", "verbosity", _integer)


FLAGS: Final[Mapping[str, Flag]] = {name: flag for flag in _table() for name in flag.names}
"""Every spelling of every flag."""
