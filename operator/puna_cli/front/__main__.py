"""`python -m puna_cli.front`: keep the front of one local cluster as its routers are."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path

import click

from puna_cli.front.serve import provision_volumes, route_to_routers
from puna_cli.front.watch import api_session


@click.command()
@click.option("--server", required=True, help="URL of the API server.")
@click.option("--authority", required=True, type=Path, help="CA of the API server.")
@click.option("--certificate", required=True, type=Path, help="Client certificate.")
@click.option("--key", required=True, type=Path, help="Its key.")
@click.option("--cluster", required=True, help="Name of the cluster.")
@click.option("--directory", required=True, type=Path, help="Folder of Envoy's files.")
@click.option("--volumes", required=True, type=Path, help="Folder of the claims' folders.")
def main(
    *,
    server: str,
    authority: Path,
    certificate: Path,
    key: Path,
    cluster: str,
    directory: Path,
    volumes: Path,
) -> None:
    """Follow routers and claims until SIGTERM; Envoy is a process of its own."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")

    async def run() -> None:
        credentials = {"authority": authority, "certificate": certificate, "key": key}
        loop = asyncio.get_running_loop()
        this = asyncio.current_task()
        if this is not None:
            loop.add_signal_handler(signal.SIGTERM, this.cancel)
        async with api_session(server, **credentials) as session, asyncio.TaskGroup() as tasks:
            tasks.create_task(route_to_routers(session, directory, cluster))
            tasks.create_task(provision_volumes(session, volumes))

    try:
        asyncio.run(run())
    except* asyncio.CancelledError:
        pass


if __name__ == "__main__":
    main()
