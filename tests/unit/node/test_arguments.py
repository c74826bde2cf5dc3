from __future__ import annotations

import pytest

from puna.api.preset import RopeScaling, Server
from puna.endpoint.arguments import pool_arguments, server_arguments
from puna_node.arguments import FILES, refused_argument
from puna_node.llama_flags import FLAGS

FOLDERS = ("/pod", "/srv/models")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model", "/srv/models/a.gguf", "--api-key-file", "/pod/v/key/key"],
        ["-m", "/pod/v/models/a.gguf", "--metrics", "--parallel", "2"],
        ["--chat-template", "--{{ messages }} /etc/x"],
        ["--ctx_size", "4096", "--seed", "-1"],
        ["--host", "127.0.0.1", "--alias", "org/model"],
    ],
)
def test_known_flags_and_files_of_the_pod_are_allowed(arguments: list[str]) -> None:
    assert refused_argument(arguments, FOLDERS) is None


@pytest.mark.parametrize(
    "flag",
    [
        *("--tools", "--agent", "--mcp-servers-config", "--mcp_servers_json", "--models-dir"),
        *("--model-url", "-mu", "-hf", "-hfr", "--hf-repo", "-dr", "--docker-repo", "--rpc"),
        *("--webui-config-file", "--model-vocoder", "--lora", "--path", "--log-file"),
        *("--model=/pod/a.gguf", "--tools=all", "/etc/passwd", "-"),
    ],
)
def test_everything_else_is_refused_by_name(flag: str) -> None:
    assert refused_argument(["--metrics", flag, "/pod/x"], FOLDERS) == (
        f"args: {flag} is not among the flags of llama-server allowed on this node"
    )


@pytest.mark.parametrize("flag", sorted(FILES))
@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/srv/models/../../etc/x", "/srv/models/a/../b", "relative.gguf", ""]
)
def test_files_outside_its_folders_are_refused(flag: str, path: str) -> None:
    expected = f"args: {flag} {path} is outside the Pod's volumes"
    assert refused_argument([flag, path], FOLDERS) == expected


def test_every_flag_that_names_a_file_is_known_to_be_one() -> None:
    assert FLAGS.keys() >= FILES
    named = {name for name in FLAGS if name.endswith(("-file", "-path", "-model", "-dir"))}
    assert named <= FILES


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--model"], "args: --model needs a value"),
        (["--flash-attn", "--tools"], "args: --flash-attn --tools: the value looks like a flag"),
        (["--host", "/run/x.sock"], "args: --host /run/x.sock: has to be an address"),
        (["--host", "x.sock"], "args: --host x.sock: has to be an address"),
    ],
)
def test_values_are_no_way_around(arguments: list[str], expected: str) -> None:
    assert refused_argument(arguments, FOLDERS) == expected


def test_what_the_operator_renders_is_allowed() -> None:
    server = Server(context_length=4096, rope_scaling=RopeScaling(type="yarn", factor=2), threads=3)
    arguments = server_arguments(
        server=server,
        chat_template="{{ '/etc' }}",
        name="chat",
        port=20001,
        model="/srv/models/a.gguf",
        ping=15,
    ) + pool_arguments(threads=3, limits={}, gpu_layers=99)
    assert refused_argument(arguments, ("/srv/models", "/etc/puna/backend-key")) is None
