"""Members of JSON objects, read once, with the path of what is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class DocumentError(ValueError):
    """A document that is not what it has to be; the message begins with the member's path."""


class Members:
    """One JSON object: every member is taken by name, and none may be left."""

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            raise DocumentError(f"{path or 'the document'}: an object is needed")
        self._left: dict[str, Any] = dict(value)
        self._path = path

    @classmethod
    def parse(cls, text: str | bytes) -> Members:
        """The object that a text holds as JSON.

        Raises:
            DocumentError: It holds none.
        """
        try:
            value = json.loads(text)
        except ValueError as error:
            raise DocumentError(f"not JSON: {error}") from error
        return cls(value, "")

    def at(self, name: str) -> str:
        """Path of a member."""
        return f"{self._path}.{name}" if self._path else name

    def integer(self, name: str, *, least: int = 0) -> int:
        """An integer that is not below `least`."""
        value = self._take(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self._problem(name, f"an integer of at least {least} is needed")
        return value

    def number(self, name: str) -> float:
        """A finite number that is not negative."""
        value = self._take(name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or value < 0:
            raise self._problem(name, "a number of at least 0 is needed")
        return float(value)

    def truth(self, name: str) -> bool:
        """True or false."""
        value = self._take(name)
        if not isinstance(value, bool):
            raise self._problem(name, "true or false is needed")
        return value

    def text(self, name: str) -> str:
        """A text that is not empty."""
        value = self._take(name)
        if not isinstance(value, str) or not value:
            raise self._problem(name, "a text is needed")
        return value

    def optional(self, read: Callable[[str], T], name: str) -> T | None:
        """What `read` makes of a member; None where it is absent or null."""
        if self._left.get(name) is None:
            self._left.pop(name, None)
            return None
        return read(name)

    def texts(self, name: str) -> tuple[str, ...]:
        """An array of texts."""
        value = self._take(name)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._problem(name, "an array of texts is needed")
        return tuple(value)

    def counts(self, name: str) -> tuple[int, ...]:
        """An array of integers that are not negative."""
        value = self._take(name)
        if not isinstance(value, list) or not all(
            type(item) is int and item >= 0 for item in value
        ):
            raise self._problem(name, "an array of integers of at least 0 is needed")
        return tuple(value)

    def object(self, name: str) -> Members:
        """An object."""
        return Members(self._take(name), self.at(name))

    def objects(self, name: str) -> Iterator[Members]:
        """An array of objects."""
        value = self._take(name)
        if not isinstance(value, list):
            raise self._problem(name, "an array is needed")
        return (Members(item, f"{self.at(name)}[{index}]") for index, item in enumerate(value))

    def named_objects(self, name: str) -> Iterator[tuple[str, Members]]:
        """An object of objects, by name."""
        inner = self.object(name)
        return ((key, Members(value, inner.at(key))) for key, value in inner.rest().items())

    def integers(self, name: str) -> dict[str, int]:
        """An object of integers that are not negative."""
        inner = self.object(name)
        return {key: inner.integer(key) for key in list(inner.rest())}

    def rest(self) -> dict[str, Any]:
        """What has not been taken yet."""
        return self._left

    def end(self) -> None:
        """Refuse members that nobody asked for."""
        for name in self._left:
            raise self._problem(name, "there is no such member")

    def _take(self, name: str) -> Any:
        if name not in self._left:
            raise self._problem(name, "is missing")
        return self._left.pop(name)

    def _problem(self, name: str, message: str) -> DocumentError:
        return DocumentError(f"{self.at(name)}: {message}")
