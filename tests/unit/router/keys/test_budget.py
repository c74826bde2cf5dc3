from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puna_router.control.keys.budget import Budget, charge, exhausted_until, full, refill
from puna_router.control.keys.meter import used_tokens

NOW = 1_790_000_000.0
TPM = 600


def charged(budget: Budget, counter: int, at: float) -> Budget:
    return charge(budget, counter, tokens_per_minute=TPM, now=at)


def test_what_was_used_before_the_first_look_is_not_charged() -> None:
    assert charged(full(TPM, NOW), 5000, NOW) == Budget(TPM, NOW, counted=5000)


def test_what_is_used_is_taken_off_and_refills_in_a_minute() -> None:
    begun = charged(full(TPM, NOW), 0, NOW)
    spent = charged(begun, 600, NOW)
    assert spent.level == 0
    assert charged(spent, 600, NOW + 30).level == 300
    assert charged(spent, 600, NOW + 3600).level == 600


def test_a_long_answer_is_owed_and_paid_back() -> None:
    begun = charged(full(TPM, NOW), 0, NOW)
    owed = charged(begun, 1800, NOW)
    assert owed.level == -1200
    until = exhausted_until(owed, TPM)
    assert until == NOW + 121
    assert exhausted_until(charged(owed, 1800, until), TPM) is None
    assert exhausted_until(begun, TPM) is None


def test_an_envoy_that_starts_anew_counts_from_zero() -> None:
    begun = charged(charged(full(TPM, NOW), 500, NOW), 600, NOW)
    assert charged(begun, 40, NOW) == Budget(TPM - 140, NOW, counted=40)
    assert charged(begun, 0, NOW) == Budget(TPM - 100, NOW, counted=0)


@given(
    st.integers(1, 10_000),
    st.lists(st.tuples(st.integers(0, 5000), st.floats(0, 120)), max_size=30),
)
def test_over_any_time_no_more_is_handed_out_than_the_rate_allows(
    tokens: int, steps: list[tuple[int, float]]
) -> None:
    now, counter = NOW, 0
    budget = charge(full(tokens, now), counter, tokens_per_minute=tokens, now=now)
    allowed = 0
    for gain, pause in steps:
        now += pause
        budget = refill(budget, tokens_per_minute=tokens, now=now)
        if exhausted_until(budget, tokens) is None:  # what the picker asks before a request
            counter += gain
            allowed += gain
        budget = charge(budget, counter, tokens_per_minute=tokens, now=now)
        assert budget.level <= tokens
        # A full bucket, what time brings, and the one answer that nobody could foresee.
        assert allowed <= tokens + tokens * (now - NOW) / 60 + 5000 + 1e-3


@given(st.integers(1, 10_000), st.integers(0, 100_000), st.floats(0, 10_000))
def test_an_exhausted_key_has_a_token_when_it_was_told_to(
    tokens: int, used: int, later: float
) -> None:
    begun = charge(full(tokens, NOW), 0, tokens_per_minute=tokens, now=NOW)
    spent = charge(begun, used, tokens_per_minute=tokens, now=NOW)
    until = exhausted_until(spent, tokens)
    if until is None:
        assert spent.level >= 1
        return
    assert until > NOW
    after = refill(spent, tokens_per_minute=tokens, now=until + later)
    assert after.level >= 1 - 1e-3


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=20))
def test_counters_never_give_tokens_back(counters: list[int]) -> None:
    budget = full(TPM, NOW)
    for counter in counters:
        after = charge(budget, counter, tokens_per_minute=TPM, now=NOW)
        assert after.level <= budget.level
        budget = after


def test_a_clock_that_is_set_back_gives_nothing() -> None:
    spent = Budget(-60, NOW, counted=0)
    assert refill(spent, tokens_per_minute=TPM, now=NOW - 3600).level == -60


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# TYPE envoy_puna_prompt_tokens counter\n",
        'envoy_puna_prompt_tokens{endpoint="chat",key="",revision="r"} 5\n',
        'envoy_puna_cached_tokens{endpoint="chat",key="alice",revision="r"} 5\n',
    ],
)
def test_tokens_of_nobody_and_cached_ones_are_not_counted(text: str) -> None:
    assert used_tokens(text) == Counter()


def test_prompt_and_answer_of_all_revisions_are_counted_together() -> None:
    text = """\
envoy_puna_prompt_tokens{endpoint="chat",revision="chat-aaaaaaaa",key="alice"} 5
envoy_puna_prompt_tokens{endpoint="code",revision="code-aaaaaaaa",key="alice"} 100
envoy_puna_generated_tokens{endpoint="chat",revision="chat-aaaaaaaa",key="alice"} 20
envoy_puna_generated_tokens{endpoint="chat",revision="chat-bbbbbbbb",key="alice"} 300
envoy_puna_generated_tokens{endpoint="chat",revision="chat-bbbbbbbb",key="bob"} 7
"""
    assert used_tokens(text) == {
        ("chat", "alice"): 325,
        ("chat", "bob"): 7,
        ("code", "alice"): 100,
    }
