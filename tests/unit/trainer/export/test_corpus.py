from __future__ import annotations

from puna_trainer.export.corpus import TEXTS, texts


def test_special_tokens_stand_alone_and_glued_to_text() -> None:
    found = list(texts(["<|end|>"]))
    assert found[: len(TEXTS)] == list(TEXTS)
    assert "<|end|>" in found
    assert "before<|end|>after" in found
    assert "<|end|><|end|>" in found


def test_the_corpus_holds_what_tokenizers_disagree_on() -> None:
    whole = "".join(TEXTS)
    for part in (
        "'S",
        "'ll",
        "\n\n",
        "\r\n",
        "\t",
        "1234567890",
        "\u200d",
        "\u0301",
        "\x00",
        "\u00a0",
    ):
        assert part in whole
    assert any(text.startswith("   ") and text.endswith("   ") for text in TEXTS)
    assert "" in TEXTS
