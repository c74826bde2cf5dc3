"""Curve of the loss, in few points however long the run: each is the mean of equally many steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from puna_trainer.progress import CURVE_POINTS, CurvePoint

DIGITS: Final = 5
"""Significant digits of a loss: the curve travels with every line of progress."""


@dataclass
class _Bucket:
    step: int
    total: float
    count: int
    val_loss: float | None = None


class Curve:
    """The loss so far. Where there are too many points, each two become one."""

    def __init__(self) -> None:
        self._buckets: list[_Bucket] = []
        self._width = 1

    def add(self, step: int, loss: float) -> None:
        """Add the loss of a step; steps come in order, from 1."""
        if self._buckets and (step - 1) // self._width == (
            (self._buckets[-1].step - 1) // self._width
        ):
            last = self._buckets[-1]
            last.step, last.total, last.count = step, last.total + loss, last.count + 1
            return
        if len(self._buckets) == CURVE_POINTS:
            self._halve()
            self.add(step, loss)
            return
        self._buckets.append(_Bucket(step, loss, 1))

    def add_validation(self, loss: float) -> None:
        """Add a validation loss to the newest point."""
        if self._buckets:
            self._buckets[-1].val_loss = loss

    def points(self) -> tuple[CurvePoint, ...]:
        """Return the points, oldest first."""
        return tuple(
            CurvePoint(
                step=bucket.step,
                loss=_rounded(bucket.total / bucket.count),
                val_loss=None if bucket.val_loss is None else _rounded(bucket.val_loss),
            )
            for bucket in self._buckets
        )

    def _halve(self) -> None:
        self._width *= 2
        merged: list[_Bucket] = []
        for bucket in self._buckets:
            last = merged[-1] if merged else None
            if last is None or (last.step - 1) // self._width != (bucket.step - 1) // self._width:
                merged.append(bucket)
                continue
            last.step = bucket.step
            last.total += bucket.total
            last.count += bucket.count
            if bucket.val_loss is not None:
                last.val_loss = bucket.val_loss
        self._buckets = merged


def _rounded(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")
