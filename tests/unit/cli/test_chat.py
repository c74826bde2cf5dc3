from __future__ import annotations

import pytest

from puna_cli.chat.measured import Measured
from puna_cli.chat.stream import Piece, error_message, parse_line


@pytest.mark.parametrize(
    ("line", "piece"),
    [
        ("", None),
        (": keep-alive", None),
        ("data: [DONE]", Piece(done=True)),
        ('data: {"choices": [{"delta": {"content": "sea"}}]}', Piece(text="sea")),
        ('data: {"choices": [{"delta": {"role": "assistant", "content": null}}]}', Piece()),
        ('data: {"choices": [], "usage": {"completion_tokens": 7}}', Piece(tokens=7)),
        ('data: {"error": {"reason": "Broken", "message": "no"}}', Piece(error="Broken: no")),
    ],
)
def test_a_line_is_an_event(line: str, piece: Piece | None) -> None:
    assert parse_line(line) == piece


def test_an_error_document_is_told_by_reason_and_message() -> None:
    assert error_message({"error": {"message": "no such model"}}) == "no such model"
    assert error_message(["no", "error"]) is None


def test_speed_is_counted_after_the_first_token() -> None:
    measured = Measured(sent=10.0).piece(10.5).piece(11.0).piece(11.5)
    assert measured.first_token_seconds == 0.5
    assert measured.tokens_per_second == 2.0
    assert measured.sentence() == "3 tokens, 2 tokens/s, first token after 500 ms"


def test_the_servers_count_wins_over_the_number_of_pieces() -> None:
    measured = Measured(sent=0.0, first=1.0, last=2.0, pieces=2, tokens=11)
    assert measured.tokens_per_second == 10.0


def test_an_answer_without_text_has_no_speed() -> None:
    assert Measured(sent=0.0).sentence() == "no text came"
    assert Measured(sent=0.0).piece(1.0).tokens_per_second is None
