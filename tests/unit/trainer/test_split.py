from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from puna_trainer.data.parts import Line, Part, parts_of
from puna_trainer.data.split import held_back, is_held_back, normal_digest

PERCENTS = st.integers(1, 50)


@given(st.integers(2, 400), PERCENTS, st.integers(0, 2**32 - 1))
def test_so_many_percent_are_held_back_and_some_are_not(
    count: int, percent: int, seed: int
) -> None:
    chosen = held_back(count, percent, seed, "validation")
    assert 1 <= chosen.sum() < count
    assert abs(chosen.sum() - count * percent / 100) <= 1
    assert np.array_equal(chosen, held_back(count, percent, seed, "validation"))


def test_another_seed_or_purpose_chooses_others() -> None:
    chosen = [
        held_back(1000, 10, seed, purpose).tolist()
        for seed in (0, 1)
        for purpose in ("validation", "test")
    ]
    assert all(one != other for index, one in enumerate(chosen) for other in chosen[:index])


def test_the_choice_is_the_same_for_ever() -> None:
    assert np.flatnonzero(held_back(40, 10, 7, "validation")).tolist() == CHOSEN


CHOSEN = [0, 2, 24, 27]


@given(st.text(), st.integers(1, 49))
def test_more_percent_hold_back_the_same_texts_and_more(text: str, percent: int) -> None:
    digest = normal_digest(text)
    assert not is_held_back(digest, percent) or is_held_back(digest, percent + 1)


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_blanks_and_case_make_no_difference(text: str) -> None:
    other = "  \n" + "\t".join(text.split(" ")) + " "
    assert normal_digest(other) == normal_digest(text)
    assert normal_digest(text.lower().upper().casefold()) == normal_digest(text.lower().upper())


def lines(texts: list[str], tests: int = 0) -> list[Line]:
    return [
        Line(normal_digest(text), index, 1, len(text), len(text), index < tests)
        for index, text in enumerate(texts)
    ]


TEXTS = st.lists(st.text(min_size=1), min_size=2, max_size=60, unique_by=normal_digest)


def texts_in(found: list[Line], texts: list[str]) -> set[str]:
    return {texts[line.start] for line in found}


@given(TEXTS, PERCENTS, st.randoms(use_true_random=False))
def test_the_part_of_a_text_does_not_depend_on_the_order(
    texts: list[str], percent: int, chance: random.Random
) -> None:
    shuffled = list(texts)
    chance.shuffle(shuffled)
    one, other = parts_of(lines(texts), percent), parts_of(lines(shuffled), percent)
    for part in Part:
        assert texts_in(one[part], texts) == texts_in(other[part], shuffled)
    assert [line.digest for line in one[Part.VALIDATION]] == [
        line.digest for line in other[Part.VALIDATION]
    ]


@given(TEXTS, PERCENTS, st.integers(0, 5))
def test_every_text_is_in_one_part_and_none_is_empty(
    texts: list[str], percent: int, tests: int
) -> None:
    if len(texts) - tests < 2:
        return
    parts = parts_of(lines(texts, tests), percent)
    assert sorted(line.start for found in parts.values() for line in found) == list(
        range(len(texts))
    )
    assert parts[Part.TRAIN]
    assert parts[Part.VALIDATION]
    assert {line.start for line in parts[Part.TEST]} == set(range(tests))


@given(st.text(min_size=1), PERCENTS)
def test_the_part_of_a_text_depends_on_no_other(text: str, percent: int) -> None:
    """Where others are held back too: one of all has to be."""
    others = [str(number) for number in range(400)]
    assert any(is_held_back(normal_digest(other), percent) for other in others)
    found = parts_of(lines([*others, text]), percent)
    is_held = any(line.start == len(others) for line in found[Part.VALIDATION])
    assert is_held == is_held_back(normal_digest(text), percent)
