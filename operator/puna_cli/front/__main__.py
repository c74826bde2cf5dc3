"""`python -m puna_cli.front`: run the front of one local cluster."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pathlib import Path

import click

from puna_cli.front.serve import EnvoyEndedError, provision_volumes, route_to_routers, run_envoy
from puna_cli.front.watch import api_session


@click.command()
@click.option("--server", required=True, help="URL of the API server.")
@click.option("--authority", required=True, type=Path, help="CA of the API server.")
@click.option("--certificate", required=True, type=Path, help="Client certificate.")
@click.option("--key", required=True, type=Path, help="Its key.")
@click.option("--cluster", required=True, help="Name of the cluster.")
@click.option("--port", required=True, type=int, help="Port of 127.0.0.1 to listen on.")
@click.option("--directory", required=True, type=Path, help="Folder of Envoy's files.")
@click.option("--volumes", required=True, type=Path, help="Folder of the claims' folders.")
@click.option("--envoy", required=True, help="Path of Envoy.")
def main(
    *,
    server: str,
    authority: Path,
    certificate: Path,
    key: Path,
    cluster: str,
    port: int,
    directory: Path,
    volumes: Path,
    envoy: str,
) -> None:
    """Run the front of one local cluster until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")

    async def run() -> None:
        credentials = {"authority": authority, "certificate": certificate, "key": key}
        loop = asyncio.get_running_loop()
        this = asyncio.current_task()
        if this is not None:
            loop.add_signal_handler(signal.SIGTERM, this.cancel)
        async with api_session(server, **credentials) as session, asyncio.TaskGroup() as tasks:
            tasks.create_task(run_envoy(envoy, directory, port, cluster))
            tasks.create_task(route_to_routers(session, directory, cluster))
            tasks.create_task(provision_volumes(session, volumes))

    try:
        asyncio.run(run())
    except* asyncio.CancelledError:
        pass
    except* EnvoyEndedError as group:
        sys.exit(str(group.exceptions[0]))


if __name__ == "__main__":
    main()
