"""A real Prometheus that scrapes routers once a second."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.charts.go_tools import PROMETHEUS, built
from tests.cluster import eventually
from tests.ports import free_port


def configuration(routers: Mapping[str, str], namespace: str) -> str:
    """What scrapes routers, given by Pod with their addresses, as the chart's PodMonitor does."""
    targets = [
        {"targets": [address], "labels": {"namespace": namespace, "pod": pod}}
        for pod, address in routers.items()
    ]
    job = {"job_name": "puna-router", "static_configs": targets}
    scrape = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    return json.dumps({"global": scrape, "scrape_configs": [job]})


@contextmanager
def scraping(
    folder: Path, routers: Mapping[str, str], namespace: str, *, port: int | None = None
) -> Iterator[str]:
    """Scrape routers meanwhile; the address of Prometheus."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prometheus.json").write_text(configuration(routers, namespace), encoding="utf-8")
    address = f"127.0.0.1:{port or free_port()}"
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                str(built(PROMETHEUS)),
                f"--config.file={folder / 'prometheus.json'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        eventually(lambda: _is_ready(address), seconds=30)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(20)


def _is_ready(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/-/ready").is_success
    except httpx.TransportError:
        return False
