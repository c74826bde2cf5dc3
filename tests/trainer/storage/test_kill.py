"""A kill at any byte never leaves a bad file behind, nor loses much."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import replace

from tests.fetch.source_server import SourceServer, serve
from tests.trainer.storage.fetching import QUICK, Fetcher, sha256_of

KILLS = 6
LIMIT_SECONDS = 60


def test_a_download_that_is_killed_again_and_again_ends_well(
    fetcher: Fetcher, source: SourceServer
) -> None:
    chance = random.Random(1)
    digest = sha256_of(source.content)
    for _ in range(KILLS):
        count = chance.randrange(100_000, len(source.content) // KILLS)
        reached, dead = threading.Event(), threading.Event()

        def wait(reached: threading.Event = reached, dead: threading.Event = dead) -> None:
            reached.set()
            dead.wait(LIMIT_SECONDS)

        source.behaviours.append(serve(cut_after=count, then=wait))
        process = fetcher.start(source.url(), digest)
        assert reached.wait(LIMIT_SECONDS)
        time.sleep(chance.uniform(0, 0.05))  # any moment will do
        process.kill()
        process.communicate()
        dead.set()
        assert not fetcher.destination.exists()
    process = fetcher.start(source.url(), digest)
    output, _ = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 0, output
    assert fetcher.fetch(source.url(), digest).read_bytes() == source.content
    offsets = [asked.offset for asked in source.asked]
    assert offsets == sorted(offsets)
    assert offsets[-1] > 0


def test_a_kill_before_everything_takes_its_place_costs_no_second_download(
    fetcher: Fetcher, source: SourceServer
) -> None:
    source.behaviours.append(serve(cut_after=2_000_000))
    fetcher.limits = replace(QUICK, attempts=1)
    fetcher.refusal(source.url())
    before = source.sent
    fetcher.limits = QUICK
    fetcher.fetch(source.url())
    assert source.sent - before < len(source.content) - 1_000_000
    # As a kill leaves it that comes after the last byte, and before the folder is renamed.
    working = fetcher.destination.with_name("source.partial")
    fetcher.destination.rename(working)
    (working / "source.json").unlink()
    (working / "parts").mkdir()
    assert fetcher.fetch(source.url()).read_bytes() == source.content
