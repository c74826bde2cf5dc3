from __future__ import annotations

from typing import Any

from puna_router.config import (
    Backend,
    EndpointConfig,
    ExternalConfig,
    QueueConfig,
    RevisionConfig,
    ShadowConfig,
)
from puna_router.control.external import external_hosts
from puna_router.control.health import HostKey
from puna_router.control.picker_file import picker_config
from puna_router.control.world import Served, World
from puna_router.picker.config import (
    PickerConfig,
    PickerEndpoint,
    PickerHost,
    PickerKey,
    PickerQueue,
    PickerShadow,
    Strategy,
)

OLD, NEW, TWIN = "aaaaaaaa", "bbbbbbbb", "cccccccc"
PROCESSES = {OLD: "00000001", TWIN: "00000001", NEW: "00000002"}


def revision(name: str, **more: Any) -> RevisionConfig:
    values = {"weight": 100, "slots": 4, **more}
    return RevisionConfig(name=name, process=PROCESSES[name], **values)


def served(*revisions: RevisionConfig, external: str | None = None, **more: Any) -> Served:
    externals = (ExternalConfig(name="studio", url=external, priority=1),) if external else ()
    config = EndpointConfig(
        name="chat", port=20000, created=0, revisions=revisions, external=externals, **more
    )
    return Served(
        config,
        (
            Backend(address="10.0.0.1", port=20000, process="00000001"),
            Backend(address="fd00::2", port=20000, process="00000002"),
        ),
        external_hosts(externals[0], ["10.9.9.9"], {}) if externals else (),
    )


def told(
    world: Served, *usable: HostKey, known: frozenset[HostKey] | None = None
) -> PickerEndpoint:
    found = frozenset(usable)
    config = picker_config(
        World((world,)), usable=found, known=found if known is None else known, keys={}
    )
    return config.endpoints["chat"]


def test_everything_that_a_choice_needs_is_there() -> None:
    queue = QueueConfig(max_depth=7, timeout_seconds=9)
    world = served(
        revision(OLD, weight=90, slots=4, expected=2),
        revision(NEW, weight=10, slots=2, expected=1),
        external="http://studio",
        queue=queue,
        strategy="LeastBusy",
    )
    seen = frozenset(host.key(name) for name, host in world.members())
    config = picker_config(
        World((world,), routers=3, router=1),
        usable=seen - {("chat-bbbbbbbb", "fd00::2", 20000)},
        known=seen,
        keys={"chat": {"alice": PickerKey(max_concurrency=4)}},
    )
    both = ("chat-aaaaaaaa", "chat-bbbbbbbb")
    expected = PickerEndpoint(
        clusters=both,
        hosts=(
            PickerHost("10.0.0.1:20000", slots=4, clusters=both[:1]),
            PickerHost("10.9.9.9:80", slots=1, clusters=both, priority=1),
            PickerHost("[fd00::2]:20000", slots=2, clusters=both[1:], healthy=False),
        ),
        strategy=Strategy.LEAST_BUSY,
        queue=PickerQueue(7, 9),
        expected=3,
        keys={"alice": PickerKey(max_concurrency=4)},
    )
    assert PickerConfig({"chat": expected}, share=3, share_index=1) == config
    assert PickerConfig.from_json(config.to_json()) == config


def test_a_server_of_two_revisions_is_one_host_with_its_slots_once() -> None:
    world = served(revision(OLD, weight=50), revision(TWIN, weight=50))
    both = ("chat-aaaaaaaa", "chat-cccccccc")
    (host,) = told(world, *((cluster, "10.0.0.1", 20000) for cluster in both)).hosts
    assert host == PickerHost("10.0.0.1:20000", slots=4, clusters=both)
    (host,) = told(world).hosts
    assert host == PickerHost("10.0.0.1:20000", slots=4, clusters=both, healthy=False)


def test_a_cluster_that_envoy_has_not_seen_healthy_yet_leaves_its_requests_to_others() -> None:
    """Its servers are those of the former revision, but Envoy would find none of them healthy."""
    world = served(revision(OLD, weight=0), revision(TWIN))
    (host,) = told(world, ("chat-aaaaaaaa", "10.0.0.1", 20000)).hosts
    assert host == PickerHost("10.0.0.1:20000", slots=4, clusters=("chat-aaaaaaaa",))


def test_only_revisions_that_get_requests_expect_servers() -> None:
    world = served(revision(OLD, weight=0, expected=5), revision(NEW, expected=2))
    known = frozenset(host.key(name) for name, host in world.members())
    assert told(world, known=known).expected == 2


def test_a_host_that_envoy_has_not_checked_yet_is_expected() -> None:
    world = served(revision(OLD), revision(NEW))
    assert told(world).expected == 2
    assert told(world, ("chat-aaaaaaaa", "10.0.0.1", 20000)).expected == 1


def test_external_servers_alone_have_a_cluster() -> None:
    alone = served(external="http://studio")
    found = told(Served(alone.config, (), alone.externals))
    assert found.clusters == ("chat-00000000",)
    assert [host.clusters for host in found.hosts] == [("chat-00000000",)]


def test_copies_go_to_a_revisions_own_servers() -> None:
    copied = ShadowConfig(revision=NEW, percent=10)

    def shadow(*weights: int, name: str = NEW) -> PickerShadow | None:
        named = zip((OLD, name), weights, strict=True)
        revisions = [revision(other, weight=weight) for other, weight in named]
        return told(served(*revisions, external="http://studio", shadow=copied)).shadow

    own = ("[fd00::2]:20000",)
    assert shadow(100, 0) == PickerShadow("chat-bbbbbbbb", own, spare=0)
    # From then on a slot of each is for requests.
    assert shadow(90, 10) == PickerShadow("chat-bbbbbbbb", own, spare=1)
    assert shadow(100, 0, name=TWIN) is None


def test_copies_leave_a_slot_of_shared_servers_to_the_other_revision() -> None:
    twins = (revision(OLD, weight=100), revision(TWIN, weight=0))
    found = told(served(*twins, shadow=ShadowConfig(revision=TWIN, percent=10))).shadow
    assert found == PickerShadow("chat-cccccccc", ("10.0.0.1:20000",), spare=1)
