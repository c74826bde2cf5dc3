"""The curve of a loss has few points, each a mean, whatever the length of the run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from puna_trainer.progress import CURVE_POINTS
from puna_trainer.reporting.curve import Curve


def curve_of(losses: list[float]) -> Curve:
    curve = Curve()
    for step, loss in enumerate(losses, start=1):
        curve.add(step, loss)
    return curve


def test_a_short_run_is_there_step_by_step() -> None:
    points = curve_of([4.0, 2.0, 1.0]).points()
    assert [(point.step, point.loss) for point in points] == [(1, 4.0), (2, 2.0), (3, 1.0)]


@given(st.lists(st.floats(0, 10), min_size=1, max_size=300))
def test_its_points_are_few_in_order_and_end_at_the_last_step(losses: list[float]) -> None:
    points = curve_of(losses).points()
    steps = [point.step for point in points]
    assert len(points) <= CURVE_POINTS
    assert steps == sorted(set(steps))
    assert steps[-1] == len(losses)


@given(st.integers(1, 2000))
def test_points_are_means_over_equally_many_steps(count: int) -> None:
    steps = [point.step for point in curve_of([1.0] * count).points()]
    widths = {after - before for before, after in zip([0, *steps], steps, strict=False)}
    assert len(widths) <= 2
    assert all(point.loss == 1.0 for point in curve_of([1.0] * count).points())


def test_a_validation_loss_stays_with_its_point() -> None:
    curve = curve_of([1.0] * 10)
    curve.add_validation(0.5)
    for step in range(11, 100):
        curve.add(step, 1.0)
    found = [point for point in curve.points() if point.val_loss is not None]
    assert [point.val_loss for point in found] == [0.5]
    assert 10 <= found[0].step < 20
