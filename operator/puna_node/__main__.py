"""`python -m puna_node --config agent.json`: run the node agent of this host.

SIGTERM and SIGINT end the agent and leave the Pods' processes running: the next agent adopts them.
`--stop-pods` ends a running agent of the same folder and every process of its Pods, with or
without an API server.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from pydantic import ValidationError

from puna_node.addresses import NoFreeRangeError
from puna_node.agent import Agent
from puna_node.config import AgentConfig
from puna_node.folders import FolderError
from puna_node.kubeconfig import KubeconfigError
from puna_node.single import AlreadyRunningError, single_agent
from puna_node.stop_pods import stop_agent, stop_pods


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m puna_node", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="AgentConfig as JSON")
    parser.add_argument(
        "--stop-pods", action="store_true", help="end the agent and every process of its Pods"
    )
    parser.add_argument(
        "--grace", type=float, default=5.0, help="seconds from SIGTERM to SIGKILL with --stop-pods"
    )
    parser.add_argument("--verbose", action="store_true", help="log details")
    options = parser.parse_args()
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    try:
        config = AgentConfig.model_validate_json(options.config.read_bytes())
    except (OSError, ValidationError) as error:
        sys.stderr.write(f"{options.config}: {error}\n")
        return 2
    directory = Path(config.directory)
    if options.stop_pods:
        stop_agent(directory)
        stop_pods(directory, grace=options.grace)
        return 0
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with single_agent(directory):
            asyncio.run(_run(config))
    except (
        AlreadyRunningError,
        FolderError,
        KubeconfigError,
        NoFreeRangeError,
        OSError,
    ) as error:
        sys.stderr.write(f"puna_node: {error}\n")
        return 1
    return 0


async def _run(config: AgentConfig) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Agent(config).run(stop)


if __name__ == "__main__":
    sys.exit(main())
