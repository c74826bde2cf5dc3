"""`python -m puna`: the operator."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from pathlib import Path

import uvloop

from puna import __version__
from puna.cluster.connection import CredentialsError
from puna.listener import ListenError
from puna.logs import configure
from puna.runtime import run
from puna.settings import Settings
from puna.variables import SettingsError

log = logging.getLogger("puna")


def main(arguments: list[str] | None = None) -> int:
    """Run the operator until SIGTERM; 0 if it ended well, 2 if it could not start."""
    parser = argparse.ArgumentParser(prog="puna", description="The Puna operator.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "--kubeconfig",
        type=Path,
        help="default: KUBECONFIG, the Pod's service account, then ~/.kube/config",
    )
    parser.add_argument("--verbose", action="store_true", help="log every detail")
    options = parser.parse_args(arguments)
    configure(verbose=options.verbose)
    _collect_seldom()
    try:
        settings = Settings.from_env(os.environ)
        uvloop.run(_until_stopped(settings, options.kubeconfig))
    except (SettingsError, CredentialsError, ListenError) as error:
        log.error("%s", error)  # noqa: TRY400 - the message is for users, a traceback is not
        return 2
    return 0


def _collect_seldom() -> None:
    """Have cycles looked for less often: objects come by the thousand, and none is in a cycle."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _until_stopped(settings: Settings, kubeconfig: Path | None) -> None:
    """Run until SIGTERM or SIGINT; end within a second of it."""
    loop = asyncio.get_running_loop()
    operator = asyncio.create_task(run(settings, kubeconfig))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, operator.cancel)
    try:
        await operator
    except asyncio.CancelledError:
        log.info("stopped")


if __name__ == "__main__":
    sys.exit(main())
