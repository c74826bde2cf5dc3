from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from puna_node.actions import Drain, Finalize, Kill, Prepare, Probe, Start, Terminate
from puna_node.facts import (
    ContainerFacts,
    Deletion,
    PodFacts,
    Stop,
    begun,
    durable,
    held,
    not_started,
    started,
)
from puna_node.facts import (
    ended as end,
)
from puna_node.manifest import PodKey
from puna_node.pod import decide
from puna_node.probe import STARTUP, Probing
from puna_node.state import STORED_POD, StoredPod
from tests.unit.node.pods import (
    NOW,
    POLICY,
    after,
    container,
    deleted,
    ended,
    facts,
    pod,
    running,
)

SHELL = container(image="shell")


def test_a_new_pod_is_prepared_first() -> None:
    plan = decide(pod(), PodFacts(address="127.77.0.1", started_at=NOW), POLICY, NOW)
    assert plan.actions == (Prepare(),)


def test_what_could_not_be_prepared_is_tried_again_later() -> None:
    hold = held(None, "CreateContainerConfigError", 'secret "s" not found', NOW)
    unprepared = replace(facts(), prepared=False, hold=hold)
    plan = decide(pod(), unprepared, POLICY, NOW)
    assert (plan.actions, plan.check_after) == ((), timedelta(milliseconds=100))
    assert decide(pod(), unprepared, POLICY, after(0.1)).actions == (Prepare(),)


def test_containers_start_together_once_the_init_containers_are_done() -> None:
    both = pod(
        container(name="a"),
        container(name="b"),
        initContainers=[container(name="one"), container(name="two")],
    )
    assert decide(both, facts(), POLICY, NOW).actions == (Start("one"),)
    assert decide(both, facts(one=running()), POLICY, NOW).actions == ()
    first_done = facts(one=ended(0))
    assert decide(both, first_done, POLICY, NOW).actions == (Start("two"),)
    all_done = facts(one=ended(0), two=ended(0))
    assert decide(both, all_done, POLICY, NOW).actions == (Start("a"), Start("b"))


def test_a_failed_init_container_is_tried_again_or_ends_the_pod() -> None:
    manifest = pod(initContainers=[container(name="fetch")])
    failed = facts(fetch=ended(1))
    assert decide(manifest, failed, POLICY, NOW).actions == (Start("fetch"),)
    never = pod(initContainers=[container(name="fetch")], restartPolicy="Never")
    plan = decide(never, failed, POLICY, NOW)
    assert (plan.actions, plan.facts.outcome) == ((), "Failed")


def test_the_first_restart_is_immediate_and_the_second_waits() -> None:
    plan = decide(pod(), facts(main=ended(1)), POLICY, NOW)
    assert plan.actions == (Start("main"),)
    again = facts(main=ended(1, attempts=2, in_a_row=1))
    plan = decide(pod(), again, POLICY, after(4))
    assert (plan.actions, plan.check_after) == ((), timedelta(seconds=6))
    assert decide(pod(), again, POLICY, after(10)).actions == (Start("main"),)


def test_the_restart_policy_decides_what_an_end_means() -> None:
    def plan(policy: str, code: int) -> tuple[int, str | None]:
        decided = decide(pod(restartPolicy=policy), facts(main=ended(code)), POLICY, NOW)
        return len(decided.actions), decided.facts.outcome

    assert plan("Always", 0) == (1, None)
    assert plan("OnFailure", 0) == (0, "Succeeded")
    assert plan("OnFailure", 1) == (1, None)
    assert plan("Never", 0) == (0, "Succeeded")
    assert plan("Never", 1) == (0, "Failed")


def test_a_pod_that_has_ended_never_starts_again() -> None:
    over = replace(facts(main=ended(0)), outcome="Succeeded")
    plan = decide(pod(), over, POLICY, after(1000))
    assert (plan.actions, plan.facts.outcome) == ((), "Succeeded")


def test_a_deleted_llama_server_is_drained_then_terminated_then_killed() -> None:
    manifest = deleted(pod(), grace=20)
    plan = decide(manifest, facts(main=running()), POLICY, NOW)
    assert plan.actions == (Drain("main"),)
    assert [notice.reason for notice in plan.notices] == ["Killing"]

    stop = plan.facts.container("main").stop
    assert stop is not None
    idle = plan.facts.with_container("main", running(stop=replace(stop, drained=True)))
    assert decide(manifest, idle, POLICY, after(3)).actions == (Terminate("main"),)
    # Five seconds are left for the time after SIGTERM, idle or not.
    busy = decide(manifest, plan.facts, POLICY, after(15))
    assert busy.actions == (Terminate("main"),)
    assert decide(manifest, busy.facts, POLICY, after(19)).actions == ()
    killed = decide(manifest, busy.facts, POLICY, after(20))
    assert killed.actions == (Kill("main"),)
    assert decide(manifest, killed.facts, POLICY, after(20.5)).actions == ()
    assert decide(manifest, killed.facts, POLICY, after(21)).actions == (Kill("main"),)


def test_other_containers_are_terminated_at_once() -> None:
    plan = decide(deleted(pod(SHELL)), facts(main=running()), POLICY, NOW)
    assert plan.actions == (Terminate("main"),)


def test_a_second_deletion_may_only_shorten_the_time() -> None:
    first = decide(deleted(pod(SHELL), 30), facts(main=running()), POLICY, NOW)
    second = decide(deleted(pod(SHELL), 1), first.facts, POLICY, after(2))
    assert second.actions == (Kill("main"),)
    longer = decide(deleted(pod(SHELL), 300), first.facts, POLICY, after(30))
    assert longer.actions == (Kill("main"),)


def test_a_deleted_pod_is_finalized_when_nothing_runs() -> None:
    gone = decide(deleted(pod()), facts(main=ended(143)), POLICY, NOW)
    assert (gone.actions, gone.facts.outcome) == ((Finalize(),), "Failed")
    never_started = decide(deleted(pod()), facts(), POLICY, NOW)
    assert never_started.actions == (Finalize(),)


def test_a_forced_deletion_does_not_drain() -> None:
    forced = replace(facts(main=running()), deletion=Deletion(NOW, 2.0, forced=True))
    plan = decide(pod(), forced, POLICY, NOW)
    assert plan.actions == (Terminate("main"),)
    assert decide(pod(), plan.facts, POLICY, after(2)).actions == (Kill("main"),)


def test_a_refused_pod_does_nothing_and_a_running_one_stops() -> None:
    manifest = pod(container(image="other"))
    plan = decide(manifest, facts(), POLICY, NOW)
    assert (plan.actions, plan.facts.refused is not None) == ((), True)
    assert decide(manifest, facts(main=running()), POLICY, NOW).actions == (Terminate("main"),)


def test_the_startup_probe_gates_the_others() -> None:
    probe = {"httpGet": {"port": 1}}
    manifest = pod(
        container(startupProbe=probe, readinessProbe=probe, livenessProbe={"tcpSocket": {}})
    )
    plan = decide(manifest, facts(main=running()), POLICY, NOW)
    assert plan.actions == (Probe("main", "startup"),)
    passed = Probing(NOW, after(9), after(9), passed=True)
    up = facts(main=running(probes={STARTUP: passed}))
    opened = decide(manifest, up, POLICY, NOW)
    assert opened.actions == (Probe("main", "readiness"),)
    later = decide(manifest, opened.facts, POLICY, after(10))
    assert later.actions == (Probe("main", "readiness"), Probe("main", "liveness"))


def test_a_failed_startup_probe_ends_the_container() -> None:
    failed = Probing(NOW, NOW, NOW, passed=False, failures=3)
    manifest = pod(container(startupProbe={"httpGet": {"port": 1}}))
    plan = decide(manifest, facts(main=running(probes={STARTUP: failed})), POLICY, NOW)
    assert plan.actions == (Terminate("main"),)
    assert "failed its startup probe" in plan.notices[0].message


def test_a_taken_port_holds_the_start_without_counting_it() -> None:
    state = not_started(begun(ContainerFacts()), "PortInUse", "port 1 is taken", NOW)
    assert (state.attempts, state.in_a_row) == (0, 0)
    plan = decide(pod(), facts(main=state), POLICY, NOW)
    assert (plan.actions, plan.check_after) == ((), timedelta(milliseconds=100))
    assert decide(pod(), facts(main=state), POLICY, after(0.1)).actions == (Start("main"),)


def test_a_deadline_ends_the_pod_as_failed() -> None:
    manifest = pod(SHELL, activeDeadlineSeconds=60)
    plan = decide(manifest, facts(main=running()), POLICY, after(10))
    assert plan.check_after == timedelta(seconds=50)
    plan = decide(manifest, plan.facts, POLICY, after(60))
    assert plan.actions == (Terminate("main"),)
    stopped = plan.facts.with_container("main", ended(143))
    assert decide(manifest, stopped, POLICY, after(61)).facts.outcome == "Failed"


def test_facts_follow_a_container_through_its_life() -> None:
    one = begun(ContainerFacts())
    assert (one.attempts, one.begun) == (1, True)
    assert decide(pod(), facts(main=one), POLICY, NOW).actions == ()
    process = running().running
    assert process is not None
    two = started(one, process)
    how = ended(1, at=5).exit
    assert how is not None
    three = end(replace(two, stop=Stop(NOW, 1, "x")), how)
    assert (three.running, three.exit, three.stop, three.in_a_row) == (None, how, None, 0)
    assert begun(three).in_a_row == 1
    long_run = replace(how, finished_at=after(601))
    assert end(replace(two, in_a_row=4), long_run).in_a_row == 0


def test_verdicts_of_probes_survive_the_agent_and_nothing_else_of_them() -> None:
    passed = Probing(NOW, after(9), after(9), passed=True, successes=7)
    undecided = Probing(NOW, after(1), after(1), failures=2)
    kept = durable(facts(main=running(probes={STARTUP: passed, "readiness": undecided})))
    began = after(0)
    assert kept.container("main").probes == {
        STARTUP: Probing(since=began, next_at=began, regular_at=began, passed=True)
    }
    text = STORED_POD.dump_json(StoredPod(PodKey("a", "b", "c"), pod(), kept))
    assert STORED_POD.validate_json(text).facts == kept
