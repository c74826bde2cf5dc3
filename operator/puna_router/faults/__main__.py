"""`python -m puna_router.faults --port PORT [--fault NAME:PROBABILITY ...]`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from puna_router.faults.control import Control
from puna_router.faults.fault import Fault, read_chances
from puna_router.faults.listener import Listener
from puna_router.faults.server import LabServer
from puna_router.faults.settings import Plan, Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        plan = Plan(options.seed, read_chances(options.fault))
    except ValueError as error:
        parser.error(f"--fault: {error}")
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(options, plan))
    except OSError as error:
        sys.stderr.write(f"puna_router.faults: {error}\n")
        return 1
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        found: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    except ImportError:
        return None
    return found


async def _serve(options: argparse.Namespace, plan: Plan) -> None:
    settings = Settings(
        slots=options.slots,
        tokens=options.tokens,
        interval=options.interval,
        prefill=options.prefill,
        stall=options.stall_seconds,
        refuse=options.refuse_seconds,
        leak=options.leak_seconds,
        trickle=options.trickle_seconds,
        model=options.model,
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = LabServer(options.listen, options.port, settings=settings, plan=plan)
    await server.listener.open()
    told = f"listening on {options.listen}:{server.listener.port}"
    if options.control_port is not None:
        control = Listener(options.listen, options.control_port, Control(server).answer)
        await control.open()
        told += f", control on {control.port}"
    sys.stdout.write(f"{told}\n")
    sys.stdout.flush()
    await stop.wait()


def _parser() -> argparse.ArgumentParser:
    default = Settings()
    parser = argparse.ArgumentParser(
        prog="python -m puna_router.faults",
        description="A stub llama-server that misbehaves on purpose.",
    )
    add = parser.add_argument
    add("--listen", default="127.0.0.1", metavar="IP", help="address of both listeners")
    add("--port", type=int, required=True, help="0: a free one, told on the first line of output")
    add(
        "--control-port", type=int, help="listener of its own for /lab, which may change the faults"
    )
    add("--slots", type=int, default=default.slots, help="requests at once; others wait")
    add(
        "--fault",
        action="append",
        default=[],
        metavar="NAME:PROBABILITY",
        help=f"may be repeated; names: {', '.join(Fault)}",
    )
    add("--seed", type=int, default=0, help="the same seed gives the same faults")
    add("--tokens", type=int, default=default.tokens, help="tokens of an answer without a limit")
    add("--interval", type=float, default=default.interval, help="seconds between two tokens")
    add("--prefill", type=float, default=default.prefill, help="seconds before the first token")
    add("--stall-seconds", type=float, default=default.stall, help="how long a stall is")
    add("--refuse-seconds", type=float, default=default.refuse, help="how long it refuses")
    add("--leak-seconds", type=float, default=default.leak, help="how long a leaked slot is busy")
    add("--trickle-seconds", type=float, default=default.trickle, help="pause between two bytes")
    add("--model", default=default.model, help="name of the model that it claims to serve")
    return parser


if __name__ == "__main__":
    sys.exit(main())
