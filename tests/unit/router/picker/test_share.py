from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from puna_router.picker.share import Share

ROUTERS = st.integers(1, 12)


@given(st.integers(0, 200), ROUTERS, st.integers(0, 1 << 64))
def test_parts_add_up_and_differ_by_one_at_most(total: int, routers: int, offset: int) -> None:
    parts = [Share(routers, index).part(total, offset) for index in range(routers)]
    assert max(parts) - min(parts) <= 1
    assert sum(parts) == (max(total, routers) if total else 0)


def test_nobody_is_left_without_a_part_and_nothing_stays_nothing() -> None:
    assert [Share(3, index).part(2) for index in range(3)] == [1, 1, 1]
    assert Share(3, 0).part(0) == 0


def test_the_larger_part_of_each_server_is_another_routers() -> None:
    first, second = Share(2, 0), Share(2, 1)
    assert [first.part(3, offset) for offset in (0, 1)] == [2, 1]
    assert [second.part(3, offset) for offset in (0, 1)] == [1, 2]
