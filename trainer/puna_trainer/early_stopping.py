"""Early stopping: how long nothing has got better. Pure. Lower metrics are better."""

from __future__ import annotations

from dataclasses import dataclass, replace

from puna_trainer.config.hyperparameters import EarlyStopping


@dataclass(frozen=True, slots=True)
class Patience:
    """The best metric so far, and how many evaluations have passed since."""

    best: float | None = None
    """Lowest metric; None before the first evaluation."""
    reference: float | None = None
    """Metric that the next has to be lower than by `minDelta`."""
    waited: int = 0
    """Evaluations since the reference was set."""

    def after(self, metric: float, chosen: EarlyStopping | None) -> Patience:
        """Return what holds after another evaluation."""
        best = metric if self.best is None else min(metric, self.best)
        least = chosen.min_delta if chosen else 0.0
        if self.reference is None or metric < self.reference - least:
            return Patience(best=best, reference=metric)
        return replace(self, best=best, waited=self.waited + 1)

    def is_exhausted(self, chosen: EarlyStopping | None) -> bool:
        """Return whether training should end."""
        return chosen is not None and self.waited >= chosen.patience
