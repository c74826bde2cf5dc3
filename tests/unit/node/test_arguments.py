from __future__ import annotations

import pytest

from puna_node.arguments import refused_argument

FOLDERS = ("/pod", "/srv/models")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model", "/srv/models/a.gguf", "--api-key-file", "/pod/v/key/key"],
        ["-m", "/pod/v/models/a.gguf"],
        ["--lora-scaled", "/pod/a.gguf:0.5,/pod/b.gguf:1"],
    ],
)
def test_files_of_the_pod_are_allowed(arguments: list[str]) -> None:
    assert refused_argument(arguments, {}, FOLDERS) is None


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tools", "all"],
        ["--tools=all"],
        ["--agent"],
        ["--mcp-servers-config", "/pod/x"],
        ["--mcp_servers_json", "{}"],
        ["--models-dir", "/srv/models"],
        ["--model", "/etc/passwd"],
        ["--model", "/srv/models/../../etc/passwd"],
        ["--model", "relative.gguf"],
        ["--log-file", "/var/x"],
        ["--slot-save-path", "/"],
        ["--lora", "/pod/a,/etc/b"],
        ["--model"],
    ],
)
def test_commands_and_foreign_files_are_refused(arguments: list[str]) -> None:
    assert refused_argument(arguments, {}, FOLDERS) is not None


def test_the_environment_is_no_way_around() -> None:
    assert refused_argument([], {"LLAMA_ARG_TOOLS": "all"}, FOLDERS) is not None
    assert refused_argument([], {"LLAMA_ARG_MODEL": "/etc/x"}, FOLDERS) is not None
    assert refused_argument([], {"LLAMA_ARG_CTX_SIZE": "4096"}, FOLDERS) is None
