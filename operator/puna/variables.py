"""Variables: typed reads of the `PUNA_*` variables of an environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import PurePosixPath
from typing import Final, TypeVar
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from puna.api.resource import DNS_1123

PREFIX: Final = "PUNA_"
LARGEST_PORT: Final = 65535

ValueT = TypeVar("ValueT")
WordT = TypeVar("WordT", bound=str)


class SettingsError(ValueError):
    """A setting in the environment that cannot be used; the message names the variable."""


@dataclass(frozen=True, slots=True)
class Variables:
    """Every read raises SettingsError for a value that cannot be used."""

    environ: Mapping[str, str]

    def text(self, name: str, default: str) -> str:
        """Return a text; an empty one is as good as none."""
        return self.environ.get(PREFIX + name) or default

    def number(self, name: str, default: int, *, at_least: int = 0) -> int:
        """Return a whole number."""
        text = self.text(name, str(default))
        try:
            value = int(text)
        except ValueError:
            raise SettingsError(f"{PREFIX}{name}: {text!r} is not a whole number") from None
        if value < at_least:
            raise SettingsError(f"{PREFIX}{name}: {value} is less than {at_least}")
        return value

    def items(self, name: str, separator: str) -> tuple[str, ...]:
        """Return the items of a list, without empty ones."""
        items = (item.strip() for item in self.text(name, "").split(separator))
        return tuple(item for item in items if item)

    def paths(self, name: str) -> tuple[str, ...]:
        """Return absolute paths, between colons."""
        return tuple(_absolute(name, folder) for folder in self.items(name, ":"))

    def path(self, name: str) -> str | None:
        """Return an absolute path."""
        folder = self.text(name, "")
        return _absolute(name, folder) if folder else None

    def networks(self, name: str) -> tuple[str, ...]:
        """Return networks such as 10.0.0.0/8, between commas."""
        networks = self.items(name, ",")
        for network in networks:
            try:
                ip_network(network)
            except ValueError:
                raise SettingsError(
                    f"{PREFIX}{name}: {network!r} is not a network such as 10.0.0.0/8"
                ) from None
        return networks

    def url(self, name: str, default: str) -> str:
        """Return an address that is filled in for every endpoint."""
        url = self.text(name, default)
        try:
            url.format(endpoint="endpoint", namespace="namespace")
        except (LookupError, ValueError):
            raise SettingsError(
                f"{PREFIX}{name}: {url!r} may hold {{endpoint}} and {{namespace}} alone"
            ) from None
        return url

    def http(self, name: str) -> str | None:
        """Return an http or https address without a query."""
        url = self.text(name, "")
        try:
            parts = urlsplit(url)
            usable = parts.scheme in {"http", "https"} and parts.hostname and not parts.query
        except ValueError:
            usable = False
        if url and not usable:
            raise SettingsError(f"{PREFIX}{name}: {url!r} is not an http or https address")
        return url or None

    def address(self, name: str, default: str) -> str:
        """Return `<address>:<port>`."""
        text = self.text(name, default)
        host, _, port = text.rpartition(":")
        if not host or not port.isdecimal() or int(port) > LARGEST_PORT:
            raise SettingsError(f"{PREFIX}{name}: {text!r} is not <address>:<port>")
        return text

    def one_of(self, name: str, known: tuple[WordT, ...], default: WordT) -> WordT:
        """Return one of a few words."""
        text = self.text(name, default)
        for word in known:
            if text == word:
                return word
        raise SettingsError(f"{PREFIX}{name}: {text!r} is none of {', '.join(known)}")

    def name(self, name: str) -> str | None:
        """Return the name of an object."""
        text = self.text(name, "")
        if text and re.fullmatch(DNS_1123, text) is None:
            raise SettingsError(f"{PREFIX}{name}: {text!r} is not the name of an object")
        return text or None

    def json(self, name: str, form: TypeAdapter[ValueT], default: ValueT) -> ValueT:
        """Return what a JSON document of such a form says."""
        text = self.text(name, "")
        if not text:
            return default
        try:
            return form.validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join((f"{PREFIX}{name}", *map(str, first["loc"])))
            raise SettingsError(f"{place}: {first['msg']}") from None


def _absolute(name: str, folder: str) -> str:
    path = PurePosixPath(folder)
    if not path.is_absolute() or ".." in path.parts:
        raise SettingsError(f"{PREFIX}{name}: {folder!r} is not an absolute path")
    return str(path)
