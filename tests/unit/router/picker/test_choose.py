from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from puna_router.picker.choose import Prompt, filter_free, filter_usable, pick, score
from puna_router.picker.config import Strategy
from puna_router.picker.prefixes import PrefixMemory
from puna_router.picker.slots import Server
from tests.unit.router.picker.configs import host

NO_PROMPT = Prompt()


def server(address: str, slots: int, in_flight: int = 0, turn: int = 0) -> Server:
    return Server(address, slots, in_flight, turn)


def prompt(*digests: str, affinity: str = "first") -> Prompt:
    chain = ((digest.encode(), 100 * (at + 1)) for at, digest in enumerate(digests))
    return Prompt(tuple(chain), affinity.encode())


def chosen(
    strategy: Strategy,
    *servers: Server,
    asked: Prompt = NO_PROMPT,
    memory: PrefixMemory[Server] | None = None,
) -> str:
    scored = score(strategy, filter_free(servers), servers, asked, memory or PrefixMemory())
    return pick(scored).server.address


def test_only_healthy_hosts_of_the_cluster_are_usable() -> None:
    hosts = (
        host("a", 1, "chat-a"),
        host("b", 1, "chat-b"),
        host("ab", 1, "chat-a", "chat-b"),
        host("ill", 1, "chat-a", healthy=False),
    )
    assert filter_usable(hosts, "chat-a") == ("a", "ab")
    assert filter_usable(hosts, None) == ("a", "b", "ab")
    assert filter_usable(hosts, "chat-c") == ()


def test_a_fallback_is_usable_only_without_a_healthy_host_before_it() -> None:
    first, fallback = host("first"), host("fallback", priority=1)
    assert filter_usable((first, fallback), "chat-a") == ("first",)
    ill = host("first", healthy=False)
    assert filter_usable((ill, fallback), "chat-a") == ("fallback",)


def test_a_server_with_a_free_slot_is_left() -> None:
    servers = [server("full", 2, 2), server("over", 1, 3), server("free", 2, 1), server("gone", 0)]
    assert [found.address for found in filter_free(servers)] == ["free"]


def test_the_largest_share_of_free_slots_wins_then_who_rested_longest() -> None:
    assert chosen(Strategy.LEAST_BUSY, server("small", 2, 1), server("large", 8, 3)) == "large"
    equals = (server("newer", 4, 1, turn=9), server("older", 4, 1, turn=3))
    assert chosen(Strategy.LEAST_BUSY, *equals) == "older"


def test_in_turn_the_one_that_rested_longest_is_next() -> None:
    servers = (server("a", 4, 0, turn=3), server("b", 4, 3, turn=1), server("c", 1, 1, turn=0))
    assert chosen(Strategy.ROUND_ROBIN, *servers) == "b"


def test_the_longest_remembered_prefix_wins() -> None:
    servers = [server(name, 4) for name in "abcd"]
    memory: PrefixMemory[Server] = PrefixMemory()
    asked = prompt("system", "turn 1", "turn 2")
    memory.remember(asked.chain[:1], servers[0])
    memory.remember(asked.chain[:2], servers[2])
    memory.remember(asked.chain[:1], servers[3])
    assert chosen(Strategy.PREFIX_AFFINITY, *servers, asked=asked, memory=memory) == "c"


def test_a_prefix_nobody_remembers_goes_to_its_owner_and_the_next_if_that_is_full() -> None:
    order = []
    for _ in range(4):
        servers = [server(name, 4, 4 if name in order else 0) for name in "abcd"]
        order.append(chosen(Strategy.PREFIX_AFFINITY, *servers, asked=prompt("new")))
    assert sorted(order) == ["a", "b", "c", "d"]
    without_first = [server(name, 4) for name in "abcd" if name != order[0]]
    assert chosen(Strategy.PREFIX_AFFINITY, *without_first, asked=prompt("new")) == order[1]


def test_a_conversation_stays_with_a_server_that_is_fuller_than_the_others() -> None:
    home, idle = server("home", 4, 3), server("idle", 4)
    memory: PrefixMemory[Server] = PrefixMemory()
    memory.remember(prompt("system", "mine").chain, home)
    asked = prompt("system", "mine", "next")
    assert chosen(Strategy.PREFIX_AFFINITY, home, idle, asked=asked, memory=memory) == "home"


def test_what_many_prompts_begin_with_makes_no_server_much_fuller_than_the_mean() -> None:
    memory: PrefixMemory[Server] = PrefixMemory()
    for in_flight, expected in ((0, "home"), (1, "idle"), (3, "idle")):
        home, idle = server("home", 4, in_flight), server("idle", 4)
        for name in ("one", "two"):
            memory.remember(prompt("system", name).chain, home)
        asked = prompt("system", "three")
        asked = Prompt(((b"system", 900), (b"three", 1000)), asked.affinity)
        found = chosen(Strategy.PREFIX_AFFINITY, home, idle, asked=asked, memory=memory)
        assert found == expected


def test_few_words_in_common_leave_a_new_conversation_to_its_owner() -> None:
    servers = [server(name, 4) for name in "abcd"]
    memory: PrefixMemory[Server] = PrefixMemory()
    for name in ("one", "two"):
        memory.remember(prompt("system", name).chain, servers[0])
    homes = {
        chosen(
            Strategy.PREFIX_AFFINITY,
            *servers,
            asked=prompt("system", "three", affinity=str(number)),
            memory=memory,
        )
        for number in range(20)
    }
    assert homes == {"a", "b", "c", "d"}


def test_owners_differ_from_prompt_to_prompt() -> None:
    servers = [server(name, 4) for name in "abcd"]
    owners = Counter(
        chosen(Strategy.PREFIX_AFFINITY, *servers, asked=prompt("new", affinity=str(number)))
        for number in range(400)
    )
    assert min(owners.values()) > 60


def test_without_a_prompt_affinity_is_the_least_busy() -> None:
    assert chosen(Strategy.PREFIX_AFFINITY, server("a", 4, 2), server("b", 4, 1)) == "b"


SERVERS = st.lists(
    st.builds(
        server,
        st.sampled_from("abcdefgh"),
        st.integers(1, 6),
        st.integers(0, 7),
        st.integers(0, 9),
    ),
    min_size=1,
    unique_by=lambda found: found.address,
)


@given(SERVERS, st.sampled_from(Strategy), st.lists(st.sampled_from("xyz")), st.data())
def test_whoever_is_chosen_has_a_free_slot_and_the_choice_is_the_same_again(
    servers: list[Server], strategy: Strategy, digests: list[str], data: st.DataObject
) -> None:
    free = filter_free(servers)
    if not free:
        return
    memory: PrefixMemory[Server] = PrefixMemory()
    for digest in "xyz":
        memory.remember(((digest.encode(), 50),), data.draw(st.sampled_from(servers)))
    scored = score(strategy, free, servers, prompt(*digests), memory)
    best = pick(scored)
    assert best.server in free
    assert all(0 <= found.match <= 1 for found in scored)
    assert pick(reversed(scored)).server is best.server or best[:3] in [
        found[:3] for found in scored if found is not best
    ]
