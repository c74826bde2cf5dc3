"""What tells a file that was checked from one that has changed since. Pure."""

from __future__ import annotations

import os
from typing import NamedTuple

SETTLED_NANOSECONDS = 2_000_000_000
"""Age from which a further change moves a file's times: some keep them in steps of 2 s."""


class Identity(NamedTuple):
    """Facts of a file that change with its content; ctime also where mtime is set back."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, facts: os.stat_result) -> Identity:
        """The identity in the answer of `stat`."""
        return cls(facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)

    def is_settled(self, now_ns: int) -> bool:
        """Whether a later write could not leave this identity as it is."""
        return now_ns - max(self.mtime_ns, self.ctime_ns) >= SETTLED_NANOSECONDS
