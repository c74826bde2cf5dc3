from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from puna_router.picker.prefixes import HOLDERS, Match, Prefix, PrefixMemory

A, B = object(), object()


def chain(*digests: str) -> tuple[Prefix, ...]:
    return tuple((digest.encode(), 100 * (index + 1)) for index, digest in enumerate(digests))


def test_each_server_matches_with_the_longest_prefix_that_it_holds() -> None:
    memory: PrefixMemory[object] = PrefixMemory()
    memory.remember(chain("system", "first", "second"), A)
    memory.remember(chain("system", "other"), B)
    expected = {A: Match(200, shared=False), B: Match(100, shared=True)}
    assert expected == memory.matches(chain("system", "first", "new"))
    assert memory.matches(chain("new")) == {}


def test_what_prompts_begin_with_is_shared_as_soon_as_they_differ() -> None:
    memory: PrefixMemory[object] = PrefixMemory()
    memory.remember(chain("system", "first"), A)
    memory.remember(chain("system", "first", "second"), A)
    assert memory.matches(chain("system", "first")) == {A: Match(200, shared=False)}
    memory.remember(chain("system", "first", "anew"), A)
    assert memory.matches(chain("system", "first")) == {A: Match(200, shared=True)}
    assert memory.matches(chain("system")) == {A: Match(100, shared=False)}


def test_the_least_recently_seen_prefix_is_forgotten_first_and_the_shortest_last() -> None:
    memory: PrefixMemory[object] = PrefixMemory(limit=3)
    memory.remember(chain("old"), A)
    memory.remember(chain("system", "first", "second"), A)
    assert memory.matches(chain("old")) == {}
    memory.remember(chain("new"), B)
    assert memory.matches(chain("system", "first", "second")) == {A: Match(200, shared=False)}


@given(st.lists(st.tuples(st.lists(st.sampled_from("abcdef"), unique=True), st.integers(0, 20))))
def test_memory_is_bounded_and_the_newest_holder_is_known(
    seen: list[tuple[list[str], int]],
) -> None:
    memory: PrefixMemory[int] = PrefixMemory(limit=4)
    for digests, server in seen:
        memory.remember(chain(*digests), server)
        assert len(memory) <= 4
        if digests:
            matches = memory.matches(chain(*digests))
            assert len(matches) <= 4 * HOLDERS
            assert matches[server].size >= 100 * min(len(digests), 4)
