"""How a server of the lab behaves. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from puna_router.faults.fault import Fault, checked


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything but its addresses."""

    slots: int = 4
    tokens: int = 16
    """Tokens of an answer whose request sets no limit."""
    interval: float = 0.01
    """Seconds between two tokens."""
    prefill: float = 0.0
    """Seconds in a slot before the first token."""
    stall: float = 30.0
    """Seconds of a stall."""
    refuse: float = 1.0
    """Seconds for which connections are refused."""
    leak: float = 5.0
    """Seconds for which a leaked slot stays busy."""
    trickle: float = 0.001
    """Seconds between two bytes of a trickle."""
    model: str = "fault-lab"
    """Model that it claims to serve."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes wrong."""

    seed: int = 0
    chances: dict[Fault, float] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The plan as `/lab` shows and takes it."""
        return {"seed": self.seed, "faults": {str(name): p for name, p in self.chances.items()}}


def read_plan(content: Any) -> Plan:
    """A plan from its document.

    Raises:
        ValueError: it is none.
    """
    match content:
        case {**others} if not others.keys() - {"seed", "faults"}:
            seed, faults = others.get("seed", 0), others.get("faults", {})
        case _:
            seed, faults = None, None
    if not (isinstance(seed, int) and isinstance(faults, dict)):
        raise ValueError('a plan is {"seed": WHOLE NUMBER, "faults": {NAME: PROBABILITY}}')  # noqa: TRY004 - one reason
    unknown = faults.keys() - set(Fault)
    if unknown:
        raise ValueError(f"no fault {min(unknown)!r}; there are: {', '.join(Fault)}")
    return Plan(seed, checked({Fault(name): float(chance) for name, chance in faults.items()}))
