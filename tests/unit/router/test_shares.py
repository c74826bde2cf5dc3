from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from puna_router.config import Backend, EndpointConfig, RevisionConfig
from puna_router.control.external import ExternalHost, ExternalServer
from puna_router.control.shares import shares
from puna_router.control.world import HealthyHosts, Served

OLD, NEW = "aaaaaaaa", "bbbbbbbb"
PROCESSES = {OLD: "00000001", NEW: "00000002"}
PORT = 20000


def served(old: int, new: int, *hosts: str) -> Served:
    revisions = tuple(
        RevisionConfig(name=name, process=PROCESSES[name], weight=weight)
        for name, weight in ((OLD, old), (NEW, new))
    )
    config = EndpointConfig(name="chat", port=PORT, created=0, revisions=revisions)
    backends = tuple(
        Backend(address=f"10.0.0.{number}", port=PORT, process=PROCESSES[host])
        for number, host in enumerate(hosts)
    )
    return Served(config, backends)


def healthy(world: Served, *names: str) -> HealthyHosts:
    return frozenset(
        (f"chat-{name}", backend.address, backend.port)
        for name in names
        for backend in world.backends
        if backend.process == PROCESSES[name]
    )


def chosen(world: Served, *names: str) -> dict[str, int]:
    return {revision.name: weight for revision, weight in shares(world, healthy(world, *names))}


def test_weights_are_taken_as_they_are_while_all_are_healthy() -> None:
    assert chosen(served(90, 10, OLD, NEW), OLD, NEW) == {OLD: 90, NEW: 10}


def test_a_revision_without_hosts_counts_as_0() -> None:
    assert chosen(served(90, 10, OLD), OLD) == {OLD: 90}
    assert chosen(served(90, 10, NEW), NEW) == {NEW: 10}


def test_a_revision_whose_hosts_are_all_ill_counts_as_0() -> None:
    assert chosen(served(90, 10, OLD, NEW), NEW) == {NEW: 10}


def test_where_no_host_is_known_to_be_healthy_those_that_have_one_are_tried() -> None:
    assert chosen(served(90, 10, OLD, NEW)) == {OLD: 90, NEW: 10}
    assert chosen(served(90, 10, NEW)) == {NEW: 10}


def test_where_nobody_has_a_host_the_weights_stay() -> None:
    assert chosen(served(90, 10)) == {OLD: 90, NEW: 10}


def test_weight_0_gets_nothing_even_if_nobody_else_can() -> None:
    assert chosen(served(100, 0, NEW), NEW) == {OLD: 100}
    assert chosen(served(0, 0, OLD, NEW), OLD, NEW) == {}


def test_external_servers_keep_no_revision_alive_that_has_no_server_of_its_own() -> None:
    server = ExternalServer("studio", "10.9.9.9", 80, "10.9.9.9", 0, encrypted=False)
    externals = (ExternalHost(server, "10.9.9.9", 1),)
    one, none = served(90, 10, OLD), served(90, 10)
    assert chosen(Served(one.config, one.backends, externals), OLD) == {OLD: 90}
    assert chosen(Served(none.config, (), externals)) == {OLD: 90, NEW: 10}


@given(
    weights=st.tuples(st.integers(0, 100), st.integers(0, 100)),
    hosts=st.lists(st.sampled_from([OLD, NEW]), max_size=4),
    known=st.sets(st.sampled_from([OLD, NEW])),
)
def test_no_weight_is_invented_and_somebody_serves_who_can(
    weights: tuple[int, int], hosts: list[str], known: set[str]
) -> None:
    wanted = dict(zip((OLD, NEW), weights, strict=True))
    found = chosen(served(*weights, *hosts), *known)
    assert found == {name: wanted[name] for name in found}
    assert 0 not in found.values()
    able = {name for name in hosts if wanted[name]}
    if able:
        assert set(found) & able
        assert set(found) <= able
