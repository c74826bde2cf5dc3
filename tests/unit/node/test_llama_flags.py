from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest

from puna_node.llama_command import llama_command
from puna_node.llama_flags import Assignment, EnumMember, FlagError, KeyFile, parse_flags
from puna_node.llama_server import build_parameters, busy_requests, read_keys


def values(*arguments: str) -> dict[str, object]:
    return {a.parameter: a.value for a in parse_flags(arguments)}


def test_flags_set_parameters() -> None:
    assert values(
        *("--model", "/m", "--port", "20001", "--host", "127.77.0.1,::1", "--parallel", "4"),
        *("--cache-type-k", "q8_0", "--flash-attn", "auto", "--fit", "off", "--gpu-layers", "all"),
        *("--alias", "chat, chat:precise", "--no-ui", "--metrics", "--rope-scale", "4"),
        *("--api-key-file", "/k", "--load-mode", "mmap+mlock"),
    ) == {
        "model.path": "/m",
        "port": 20001,
        "hostnames": ["127.77.0.1", "::1"],
        "n_parallel": 4,
        "cache_type_k": EnumMember("ggml_type", "GGML_TYPE_Q8_0"),
        "flash_attn_type": EnumMember("llama_flash_attn_type", "LLAMA_FLASH_ATTN_TYPE_AUTO"),
        "fit_params": False,
        "n_gpu_layers": -2,
        "model_alias": {"chat", "chat:precise"},
        "ui": False,
        "endpoint_metrics": True,
        "rope_freq_scale": 0.25,
        "api_keys": KeyFile("/k"),
        "load_mode": EnumMember("llama_load_mode", "LLAMA_LOAD_MODE_MMAP_MLOCK"),
    }


def test_underscores_and_short_names_are_understood() -> None:
    assert parse_flags(["--ctx_size", "1"]) == (Assignment("--ctx_size", "n_ctx", 1),)
    assert values("-c", "2", "-np", "3", "-t", "4") == {
        "n_ctx": 2,
        "n_parallel": 3,
        "cpuparams.n_threads": 4,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mlock"], "error: invalid argument: --mlock"),
        (["stray"], "error: invalid argument: stray"),
        (["--port"], 'error while handling argument "--port": expected value for argument'),
        (["--port", "x"], 'error while handling argument "--port": invalid integer: x'),
        (
            ["--fit", "maybe"],
            "error while handling argument \"--fit\": unknown value for a switch: 'maybe'",
        ),
        (
            ["--rope-scale", "0"],
            'error while handling argument "--rope-scale": has to be above 0: 0',
        ),
    ],
)
def test_a_bad_command_line_is_refused_in_upstreams_words(
    arguments: Sequence[str], message: str
) -> None:
    with pytest.raises(FlagError) as caught:
        parse_flags(arguments)
    assert str(caught.value) == message


def test_every_flag_fits_the_library() -> None:
    """A parameter that the wheel renames fails here, not on a user's host."""
    arguments = [
        *("--model", "/m", "--cache-type-v", "iq4_nl", "--pooling", "mean", "--seed", "7"),
        *("--split-mode", "row", "--rope-scaling", "yarn", "--reasoning-format", "none"),
        *("--temp", "0.5", "--repeat-penalty", "1.1", "--chat-template-kwargs", '{"a": true}'),
        *("--tags", "x", "--timeout", "9", "--threads", "3"),
    ]
    parameters = build_parameters(parse_flags(arguments))
    assert parameters.model.path == "/m"
    assert parameters.timeout_write == 9
    assert parameters.cpuparams.n_threads == 3
    assert parameters.cpuparams_batch.n_threads == 3
    assert parameters.default_template_kwargs == {"a": "true"}


def test_keys_are_lines_without_comments() -> None:
    assert read_keys("# comment\nfirst\n\n  second \n") == ["first", "second"]


def test_busy_requests_are_those_processed_and_those_waiting() -> None:
    text = (
        "# HELP llamacpp:requests_processing x\n"
        "llamacpp:requests_processing 2\nllamacpp:requests_deferred 1\n"
    )
    assert busy_requests(text) == 3
    assert busy_requests("") == 0


def test_llama_server_is_looked_for_in_order() -> None:
    assert llama_command("/x", found_on_path="/usr/bin/llama-server", python="py") == ("/x",)
    assert llama_command(None, found_on_path="/usr/bin/llama-server", python="py") == (
        "/usr/bin/llama-server",
    )
    assert llama_command(None, found_on_path=None, python=sys.executable) == (
        sys.executable,
        "-P",
        "-m",
        "puna_node.llama_server",
    )
