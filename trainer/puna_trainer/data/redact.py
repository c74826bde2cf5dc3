"""Redact: what tells who someone is, or opens something, replaced by a name of its kind. Pure.

Found are what forms give away: e-mail addresses, telephone numbers with a country code or in a
common national form, card numbers with a right check digit, public IP addresses, and keys in the
forms of those who hand them out. Names and street addresses have no form, and are not found.

Every pattern begins where nothing like it stands before, and repeats without going back, so the
time grows with the length of the text alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Final


class Kind(StrEnum):
    """Kinds of what is replaced."""

    KEY = "KEY"
    """Private keys, tokens and passwords."""
    EMAIL = "EMAIL"
    """Addresses of e-mail."""
    CARD = "CARD"
    """Numbers of payment cards."""
    IP = "IP"
    """Public addresses of machines."""
    PHONE = "PHONE"
    """Telephone numbers."""


@dataclass(frozen=True, slots=True)
class Find:
    """One thing that was replaced."""

    kind: Kind
    length: int
    """Characters that it had."""
    position: int
    """Where its name begins in the redacted text."""


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text, and what was replaced in it."""

    text: str
    finds: tuple[Find, ...]


PUBLIC_IPV6: Final = tuple(map(IPv6Network, ("2000::/3", "fc00::/7", "fe80::/10")))
"""Addresses of machines. Whatever else reads as one is likely a slice or a name of code."""
CARD_DIGITS: Final = range(13, 20)
PHONE_DIGITS: Final = range(8, 16)


def redact(text: str) -> Redacted:
    """Return the text with everything of a kind replaced by its name in angle brackets."""
    found: list[tuple[int, int, Kind]] = []
    for kind, pattern, is_one in PATTERNS:
        for match in pattern.finditer(text):
            group = "value" if "value" in pattern.groupindex else 0
            start, end = match.span(group)
            if is_one(match[group]):
                found.append((start, end, kind))
    pieces: list[str] = []
    finds: list[Find] = []
    length = done = 0
    for start, end, kind in sorted(found, key=lambda span: (span[0], -span[1])):
        if start < done:
            continue  # part of what is replaced already
        pieces += [text[done:start], f"<{kind}>"]
        length += start - done
        finds.append(Find(kind, end - start, length))
        length += len(kind) + 2
        done = end
    return Redacted("".join([*pieces, text[done:]]), tuple(finds))


def is_card(text: str) -> bool:
    """Tell whether digits are a card number: a length that cards have, a right check digit."""
    digits = [int(character) for character in text if character.isdecimal()]
    if len(digits) not in CARD_DIGITS or len(set(digits)) == 1:
        return False
    doubled = (2 * digit - 9 * (digit > 4) for digit in digits[-2::-2])  # noqa: PLR2004 - Luhn
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def is_public_ipv4(text: str) -> bool:
    """Tell whether four numbers are the address of a machine, and not of none or of oneself."""
    try:
        address = IPv4Address(text)
    except ValueError:
        return False
    return not (
        address.is_loopback
        or address.is_unspecified
        or address.is_multicast
        or address.is_reserved
        or text.endswith(".0.0.0")
    )


def is_ipv6(text: str) -> bool:
    """Tell whether a text is the address of a machine."""
    try:
        address = IPv6Address(text)
    except ValueError:
        return False
    return any(address in network for network in PUBLIC_IPV6)


def is_phone(text: str) -> bool:
    """Tell whether a text has as many digits as telephone numbers have."""
    return sum(character.isdecimal() for character in text) in PHONE_DIGITS


def is_secret(text: str) -> bool:
    """Tell whether the value of something named like a secret looks like one."""
    kinds = (str.isdecimal, str.isalpha)
    return all(any(map(kind, text)) for kind in kinds) and len(set(text)) > len(text) // 4


def _always(_text: str) -> bool:
    return True


PATTERNS: Final[tuple[tuple[Kind, re.Pattern[str], Callable[[str], bool]], ...]] = (
    (
        Kind.KEY,
        re.compile(
            r"-----BEGIN (?P<name>[A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?)-----"
            r"(?:[^-]|-(?!----)){16,20000}+-----END (?P=name)-----"
        ),
        _always,
    ),
    (
        Kind.KEY,
        re.compile(
            r"(?<![A-Za-z0-9_-])(?:"
            r"(?:AKIA|ASIA)[0-9A-Z]{16}"  # Amazon
            r"|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}|glpat-[\w-]{20,255}"
            r"|xox[abeprs]-[A-Za-z0-9-]{10,255}"  # Slack
            r"|sk-[A-Za-z0-9_-]{20,255}|[sr]k_(?:live|test)_[A-Za-z0-9]{16,255}"
            r"|hf_[A-Za-z0-9]{30,255}|npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,255}"
            r"|AIza[0-9A-Za-z_-]{35}|ya29\.[\w-]{20,255}"  # Google
            r"|eyJ[A-Za-z0-9_-]{10,4000}\.eyJ[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{10,4000}"
            r")(?![A-Za-z0-9_-])",
            re.ASCII,
        ),
        _always,
    ),
    (
        Kind.KEY,
        re.compile(
            r"(?:api[_-]?key|access[_-]?key|auth[_-]?token|secret|token|passw(?:or)?d)"
            r"[\"']?[ \t]{0,4}[:=]{1,2}[ \t]{0,4}[\"'](?P<value>[^\s\"'<>{}$%]{16,200})[\"']",
            re.IGNORECASE,
        ),
        is_secret,
    ),
    (
        Kind.EMAIL,
        re.compile(
            r"(?<![\w.%+-])[\w%+-][\w.%+-]{0,63}+@(?:[A-Za-z0-9][A-Za-z0-9-]{0,62}+\.){1,8}"
            r"[A-Za-z]{2,24}+(?![\w-])",
            re.ASCII,
        ),
        _always,
    ),
    (
        Kind.CARD,
        re.compile(
            r"(?<![\w.-])[2-6](?:[0-9]{12,18}"
            r"|[0-9]{3}(?:[ -][0-9]{4}){2}[ -][0-9]{1,4}(?:[ -][0-9]{1,3})?"
            r"|[0-9]{3}[ -][0-9]{6}[ -][0-9]{4,5}"
            r")(?![\w-])(?!\.[0-9])",
            re.ASCII,
        ),
        is_card,
    ),
    (
        Kind.IP,
        re.compile(r"(?<![\w.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![\w])(?!\.[0-9])", re.ASCII),
        is_public_ipv4,
    ),
    (Kind.IP, re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{3,39}+(?![\w:])", re.ASCII), is_ipv6),
    (
        Kind.PHONE,
        re.compile(
            r"(?<![\w+.-])(?:"
            r"\+[1-9][0-9]{0,2}(?:[ ./-]?(?:\([0-9]{1,5}\)|[0-9]{1,5})){2,6}"  # with a country code
            r"|(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[-. ])[2-9][0-9]{2}[-. ][0-9]{4}"  # America
            r"|(?:\(0[1-9][0-9]{1,4}\)|0[1-9][0-9]{1,4})"  # with a trunk prefix
            r"[ /-][0-9]{2,4}(?:[ -]?[0-9]{2,4}){1,3}"
            r")(?![\w-])(?!\.[0-9])",
            re.ASCII,
        ),
        is_phone,
    ),
)
"""In the order in which one goes before another that begins at the same place."""
