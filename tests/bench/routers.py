"""Our router on one processor, by the chains that a user may ask for."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import httpx

from puna_router.picker.config import STATE_SOCKET
from puna_router.picker.state import EndpointState, PickerState
from tests.bench.processors import ROUTER_CORE, pinned
from tests.router.program import RouterProgram

UNLIMITED: Final = 1_000_000
"""Requests a minute that no benchmark reaches a limit with."""
LISTENER_SECONDS: Final = 1.0
"""By when Envoy has taken another listener."""


class BenchRouter(RouterProgram):
    """A standalone router, all of it on the router's processor, with one thread of Envoy."""

    def __init__(self, folder: Path, endpoints: list[Any], backends: Any, **more: Any) -> None:
        launcher = pinned(ROUTER_CORE)
        super().__init__(
            folder,
            endpoints,
            backends,
            launcher=launcher,
            options=("--concurrency", "1"),
            **more,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def picker(self, name: str = "chat") -> EndpointState:
        """What the picker knows of an endpoint."""
        transport = httpx.HTTPTransport(uds=str(self.directory / STATE_SOCKET))
        with httpx.Client(transport=transport, base_url="http://picker") as client:
            return PickerState.from_json(client.get("/state").text).endpoints[name]

    def reduce(self, names: Collection[str], *, logged: bool) -> None:
        """Take filters, or loggers, from the chain of Envoy until control publishes it again."""
        file = self.directory / "lds" / "lds.json"
        content = json.loads(file.read_text())
        for listener in content["resources"]:
            for chain in listener["filter_chains"]:
                manager = chain["filters"][0]["typed_config"]
                kept = [one for one in manager["http_filters"] if one["name"] not in names]
                if len(kept) + len(names) != len(manager["http_filters"]):
                    raise ValueError(f"not all of {names} are filters")
                manager["http_filters"] = kept
                if not logged:
                    del manager["access_log"]
        unfinished = file.with_suffix(".bench")
        unfinished.write_text(json.dumps(content))
        unfinished.replace(file)
        # Connections that were made before go on with the chain of then.
        time.sleep(LISTENER_SECONDS)


@contextmanager
def bench_router(endpoints: list[Any], backends: Any, **more: Any) -> Iterator[BenchRouter]:
    """A router in a folder of its own, with all its backends healthy."""
    with tempfile.TemporaryDirectory(prefix="puna-bench-") as folder:
        router = BenchRouter(Path(folder), endpoints, backends, **more)
        try:
            router.wait_healthy(len(backends["chat"]))
            time.sleep(0.3)  # for a health that the picker hears of by a file
            yield router
        except BaseException:
            said = [line for line in router.log.read_text().splitlines() if line[:1] != "{"]
            print(*said[-20:], sep="\n")
            raise
        finally:
            router.stop()


def new_keys(*names: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Keys by name, and the Secret that holds them."""
    keys = {name: f"sk-{secrets.token_urlsafe(32)}" for name in names}
    held = {
        name: {"sha256": sha256(key.encode()).hexdigest(), "requestsPerMinute": UNLIMITED}
        | {"burst": UNLIMITED}
        for name, key in keys.items()
    }
    return keys, held


def bearer(key: str) -> dict[str, str]:
    """Header of a client with a key."""
    return {"authorization": f"Bearer {key}"}


def circumstances() -> Mapping[str, Any]:
    """What a reader has to know of the machine: whether others used it."""
    return {"load average": [round(load, 2) for load in os.getloadavg()]}
