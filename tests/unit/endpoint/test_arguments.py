from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puna.api.preset import Server
from puna.endpoint.arguments import literal, pool_arguments, server_arguments
from puna_node.expand import expand
from puna_node.llama_flags import FLAGS, parse_flags


def arguments(server: Server, chat_template: str | None = None) -> list[str]:
    return server_arguments(
        server=server,
        chat_template=chat_template,
        name="chat",
        port=20001,
        model="/models/a$b.gguf",
        ping=15,
    )


def test_every_flag_is_explicit() -> None:
    assert paired(arguments(Server())) == [
        ("--model", "/models/a$$b.gguf"),
        ("--alias", "chat"),
        ("--host", "$(POD_IP)"),
        ("--port", "20001"),
        ("--ctx-size", "4096"),
        ("--parallel", "1"),
        ("--batch-size", "512"),
        ("--ubatch-size", "512"),
        ("--cache-type-k", "f16"),
        ("--cache-type-v", "f16"),
        ("--flash-attn", "auto"),
        ("--cache-reuse", "0"),
        ("--cache-ram", "0"),
        ("--fit", "off"),
        ("--api-key-file", "/etc/puna/backend-key/key"),
        ("--sse-ping-interval", "15"),
        ("--metrics", ""),
        ("--slots", ""),
        ("--no-webui", ""),
    ]


def test_llama_server_understands_every_flag() -> None:
    scaled = Server.model_validate({"ropeScaling": {"type": "yarn", "factor": 2}})
    made = arguments(scaled, "{{ a }}") + pool_arguments(threads=2, limits={}, gpu_layers=0)
    known = [item for item in paired(made) if item[0] not in FLAGS]
    assert known == []
    assert parse_flags(made)


def test_an_embedding_server_takes_a_whole_text_in_one_batch() -> None:
    embedding = Server.model_validate({"mode": "Embedding", "contextLength": 2048, "slots": 2})
    made = dict(paired(arguments(embedding)))
    assert "--embedding" in made
    assert "--pooling" not in made
    assert (made["--batch-size"], made["--ubatch-size"]) == ("2048", "2048")
    pooled = embedding.model_copy(update={"pooling": "mean", "batch_size": 8192})
    made = dict(paired(arguments(pooled)))
    assert made["--pooling"] == "mean"
    assert (made["--batch-size"], made["--ubatch-size"]) == ("8192", "8192")
    assert parse_flags(arguments(pooled))


def test_a_server_that_ranks_embeds_with_the_pooling_of_ranks() -> None:
    ranking = Server.model_validate({"mode": "Rerank", "contextLength": 2048})
    made = dict(paired(arguments(ranking)))
    assert "--embedding" in made
    assert (made["--pooling"], made["--ubatch-size"]) == ("rank", "2048")
    assert parse_flags(arguments(ranking))


def paired(words: list[str]) -> list[tuple[str, str]]:
    """Each flag with the word behind it, if that is none."""
    following = [*words[1:], "--"]
    return [
        (word, "" if behind.startswith("--") else behind)
        for word, behind in zip(words, following, strict=True)
        if word.startswith("--")
    ]


def test_context_is_given_to_each_slot() -> None:
    made = paired(arguments(Server(context_length=2048, slots=4)))
    assert ("--ctx-size", "8192") in made
    assert ("--parallel", "4") in made


def test_a_batch_is_computed_in_pieces_of_at_most_512() -> None:
    assert ("--ubatch-size", "100") in paired(arguments(Server(batch_size=100)))
    assert ("--ubatch-size", "512") in paired(arguments(Server(batch_size=4096)))


@pytest.mark.parametrize(
    ("memory", "mebibytes"), [("0", 0), ("1Gi", 1024), ("1000000", 1), ("1500Mi", 1500)]
)
def test_prompt_cache_memory_is_whole_mebibytes_rounded_up(memory: str, mebibytes: int) -> None:
    made = paired(arguments(Server(prompt_cache_memory=memory)))
    assert ("--cache-ram", str(mebibytes)) in made


def test_a_context_extension_is_asked_for_only_where_one_is_set() -> None:
    scaled = Server.model_validate({"ropeScaling": {"type": "yarn", "factor": 2}})
    made = paired(arguments(scaled))
    assert {("--rope-scaling", "yarn"), ("--rope-scale", "2")} <= set(made)
    assert "--rope-scaling" not in arguments(Server())


def test_a_chat_template_is_passed_on() -> None:
    assert ("--chat-template", "{{ a }}") in paired(arguments(Server(), "{{ a }}"))


@given(st.text("$(){}POD_I", max_size=20))
def test_what_users_write_is_never_taken_for_a_variable(text: str) -> None:
    assert expand(literal(text), {"POD_IP": "10.0.0.1", "P": "1", "": "2"}) == text


@pytest.mark.parametrize(
    ("threads", "limits", "expected"),
    [
        (None, {}, ["--gpu-layers", "0"]),
        (None, {"cpu": "4"}, ["--gpu-layers", "0", "--threads", "4"]),
        (None, {"cpu": "2500m"}, ["--gpu-layers", "0", "--threads", "2"]),
        (None, {"cpu": "500m"}, ["--gpu-layers", "0", "--threads", "1"]),
        (6, {"cpu": "4"}, ["--gpu-layers", "0", "--threads", "6"]),
    ],
)
def test_threads_follow_the_cpu_limit_unless_the_preset_sets_them(
    threads: int | None, limits: dict[str, str], expected: list[str]
) -> None:
    assert pool_arguments(threads=threads, limits=limits, gpu_layers=0) == expected
