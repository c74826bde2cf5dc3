"""Rollback: a stored revision that serves instead of the one that the spec means, as ordered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from puna.api.reasons import Reason
from puna.core.findings import Finding
from puna.core.naming import ANNOTATION_ROLLBACK
from puna.endpoint.orders import Orders
from puna.endpoint.revision import StoredRevision


@dataclass(frozen=True, slots=True)
class Rollback:
    """An order to roll back that is in force."""

    to: StoredRevision
    instead_of: str
    """The revision that the spec means."""


def rollback(orders: Orders, meant: str, known: Iterable[StoredRevision]) -> Rollback | None:
    """Return the rollback in force for the revision that the spec means."""
    revisions = {item.name: item for item in known}
    order = _order(orders, meant, revisions)
    to = revisions.get(order.partition("/")[0]) if order else None
    return None if to is None or to.name == meant else Rollback(to, meant)


def impossible(orders: Orders, meant: str, known: Iterable[StoredRevision]) -> Finding | None:
    """Return why an order to roll back cannot be carried out, if there is one that counts."""
    if orders.rollback is None:
        return None
    revisions = {item.name: item for item in known}
    names = sorted(revisions.keys() - {meant})
    there = f"stored besides {meant}, which the spec means: {', '.join(names) or 'none'}"
    to, _, rest = orders.rollback.partition("/")
    if not to or not rest:
        return _finding(f"{orders.rollback!r} is not <to>/<from>, two revisions ({there})")
    if _order(orders, meant, revisions) is None or to in names:
        return None
    return _finding(f"there is no revision {to} to go back to ({there})")


def _finding(message: str) -> Finding:
    advice = "correct the annotation or remove it"
    return Finding(Reason.INVALID_ORDER, f"annotation {ANNOTATION_ROLLBACK}: {message}; {advice}")


def _order(orders: Orders, meant: str, revisions: Mapping[str, StoredRevision]) -> str | None:
    """Return the order that is meant for a revision.

    It is void once the spec has meant another revision: an old order decides nothing.
    """
    order = orders.of(meant)
    if meant in revisions:
        order = order.without(revisions[meant].passed_over)
    return order.rollback
