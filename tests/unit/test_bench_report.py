from __future__ import annotations

import pytest

from tests.bench.report import Figure, lines


@pytest.mark.parametrize(
    ("figure", "holds"),
    [
        (Figure("time", 10, "s", goal=18), True),
        (Figure("time", 20, "s", goal=18), False),
        (Figure("share", 0.9, goal=0.8, at_least=True), True),
        (Figure("time", 3, "s", anchor=2, goal=2), True),
        (Figure("time", 5, "s", anchor=2, goal=2), False),
        (Figure("time", 5, "s"), None),
    ],
)
def test_a_goal_is_for_the_ratio_where_there_is_an_anchor(
    figure: Figure,
    holds: bool | None,  # noqa: FBT001
) -> None:
    assert figure.holds == holds


def test_figures_are_lines_with_the_same_columns() -> None:
    table = lines([Figure("first token", 0.5, "s", anchor=0.4, goal=2), Figure("rss", 66, "MiB")])
    assert table == [
        "figure,value,anchor,ratio,goal,holds",
        "first token,0.5 s,0.4,1.25,<=2,yes",
        "rss,66 MiB,,,,",
    ]
