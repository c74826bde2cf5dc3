from __future__ import annotations

from puna_router.picker.progress import BEAT_LIMIT, STUCK_LIMIT, Progress


def test_a_loop_that_turns_and_gives_slots_out_gets_on() -> None:
    progress = Progress(0.0)
    for turn in range(100):
        progress.beat(turn * 0.05, stuck=turn % 2 == 1)
    assert progress.problem(5.0) is None


def test_a_loop_that_has_not_turned_does_not() -> None:
    progress = Progress(0.0)
    assert progress.problem(BEAT_LIMIT) is None
    assert progress.problem(BEAT_LIMIT + 0.1) == "the loop has not turned for 5.1 s"


def test_requests_that_wait_beside_a_free_slot_mean_that_it_does_not() -> None:
    progress = Progress(0.0)
    for turn in range(70):
        progress.beat(turn * 0.05, stuck=True)
    assert progress.problem(STUCK_LIMIT) is None
    assert progress.problem(3.5) == "requests wait although a slot has been free for 3.5 s"
    progress.beat(3.5, stuck=False)
    assert progress.problem(3.6) is None
