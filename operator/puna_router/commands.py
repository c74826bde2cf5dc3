"""The router's command line.

python -m puna_router bootstrap --directory DIR --listen IP       write what Envoy starts with
python -m puna_router serve --namespace NS --directory DIR ...    control an Envoy from a namespace
python -m puna_router envoy --directory DIR                       run Envoy, drain it on SIGTERM
python -m puna_router picker --directory DIR --listen IP          pick servers beside an Envoy
python -m puna_router drain --directory DIR                       drain a running Envoy
python -m puna_router --config FILE                               a whole router from one file
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from puna_router.config import CLIENT_PORT, CONTROL_PORT, RouterFile
from puna_router.control.admin import Admin
from puna_router.control.binary import EnvoyNotFoundError, find_envoy
from puna_router.control.drain import drain
from puna_router.control.files import Layout, bootstrapped_socket, socket_directory
from puna_router.control.peers import Peers
from puna_router.control.prepare import prepare
from puna_router.control.world import Site

DRAIN_SECONDS = 300.0
SETTLE_SECONDS = 3.0

logger = logging.getLogger("puna_router")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and say its exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    command, parser = _commands().get(given[0] if given else "", (_stand_alone, _file_parser()))
    options = parser.parse_args(given[1:] if command is not _stand_alone else given)
    try:
        return command(options)
    except (EnvoyNotFoundError, OSError) as error:
        sys.stderr.write(f"puna_router: {error}\n")
        return 1


def _bootstrap(options: argparse.Namespace) -> int:
    prepare(_site(options))
    return 0


def _serve(options: argparse.Namespace) -> int:
    # Only here: a bootstrap or a drain should not wait for the import of an HTTP client.
    from puna_router.control import cluster_access  # noqa: PLC0415
    from puna_router.control.router import Settings, serve  # noqa: PLC0415

    try:
        if options.kubeconfig:
            access = cluster_access.from_kubeconfig(options.kubeconfig)
        else:
            access = cluster_access.from_service_account(
                options.service_account_directory, os.environ
            )
    except cluster_access.AccessError as error:
        sys.stderr.write(f"puna_router serve: {error}\n")
        return 2
    site = replace(
        _site(options),
        namespace=options.namespace,
        encrypted=options.tls_directory is not None,
    )
    settings = Settings(
        control_port=options.control_port,
        envoy=find_envoy(options.envoy),
        api_key_file=options.api_key_file,
        drain_seconds=options.drain_seconds,
        certificate=_certificate(options.tls_directory),
    )
    peers = Peers(options.pod, options.peers) if options.pod and options.peers else None
    asyncio.run(serve(site, settings, access, peers))
    return 0


def _envoy(options: argparse.Namespace) -> int:
    from puna_router.control.envoy_container import run_envoy  # noqa: PLC0415

    return asyncio.run(
        run_envoy(
            options.directory,
            envoy=find_envoy(options.envoy),
            concurrency=options.concurrency,
            drain_seconds=options.drain_seconds,
            settle_seconds=options.settle_seconds,
        )
    )


def _drain(options: argparse.Namespace) -> int:
    admin = Admin(bootstrapped_socket(Layout(options.directory)))
    done = asyncio.run(drain(admin, seconds=options.seconds, settle=options.settle_seconds))
    return 0 if done else 1


def _stand_alone(options: argparse.Namespace) -> int:
    from puna_router.control.router import Settings, stand_alone  # noqa: PLC0415

    try:
        file = RouterFile.model_validate_json(options.config.read_text("utf-8"))
    except ValidationError as error:
        sys.stderr.write(f"puna_router: {options.config}: {error}\n")
        return 2
    settings = Settings(
        control_port=file.control_port,
        envoy=find_envoy(options.envoy),
        api_key_file=Path(file.api_key_file) if file.api_key_file else None,
        drain_seconds=options.drain_seconds,
        concurrency=options.concurrency,
        picker_port=file.picker_port,
        certificate=(Path(file.tls.certificate), Path(file.tls.key)) if file.tls else None,
    )
    asyncio.run(stand_alone(options.config, settings, options.directory))
    return 0


def _commands() -> dict[str, tuple[Callable[[argparse.Namespace], int], argparse.ArgumentParser]]:
    bootstrap = _parser("bootstrap", "Write Envoy's bootstrap document and its first resources.")
    _add_site(bootstrap)

    serve = _parser("serve", "Control an Envoy that shares a folder, from one namespace.")
    _add_site(serve)
    _add_envoy(serve)
    serve.add_argument("--namespace", required=True)
    serve.add_argument("--control-port", type=int, default=CONTROL_PORT)
    serve.add_argument("--api-key-file", type=Path, help="key that the backends require")
    serve.add_argument(
        "--tls-directory", type=Path, help="tls.crt and tls.key, with which clients speak TLS"
    )
    serve.add_argument("--pod", help="name of this router's Pod")
    serve.add_argument("--peers", help="labels of all router Pods: they share slots and limits")
    serve.add_argument(
        "--service-account-directory",
        type=Path,
        default=Path("/var/run/secrets/kubernetes.io/serviceaccount"),
    )
    serve.add_argument("--kubeconfig", type=Path, help="instead of a service account")

    envoy = _parser("envoy", "Run Envoy beside a control process, which prepares its folder.")
    _add_directory(envoy)
    _add_envoy(envoy)
    _add_concurrency(envoy)
    envoy.add_argument("--settle-seconds", type=float, default=SETTLE_SECONDS, help=_SETTLE)

    draining = _parser("drain", "Drain the Envoy of a folder and wait until it is idle.")
    _add_directory(draining)
    draining.add_argument("--seconds", type=float, default=DRAIN_SECONDS)
    draining.add_argument("--settle-seconds", type=float, default=SETTLE_SECONDS, help=_SETTLE)
    return {
        "bootstrap": (_bootstrap, bootstrap),
        "serve": (_serve, serve),
        "envoy": (_envoy, envoy),
        "drain": (_drain, draining),
    }


def _site(options: argparse.Namespace) -> Site:
    options.directory.mkdir(parents=True, exist_ok=True)
    return Site(
        directory=str(options.directory),
        listen=options.listen,
        port=options.port,
        sockets=str(socket_directory(options.directory)),
    )


def _certificate(directory: Path | None) -> tuple[Path, Path] | None:
    """Files of a mounted TLS Secret."""
    return (directory / "tls.crt", directory / "tls.key") if directory else None


def _folder(text: str) -> Path:
    """The folder by its absolute path, since Envoy may run elsewhere."""
    return Path(text).absolute()


_SETTLE = "time for which new connections are still taken, in seconds"


def _file_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m puna_router",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, required=True, help="a router file")
    parser.add_argument(
        "--directory", type=_folder, help="folder for Envoy's files (a temporary one)"
    )
    _add_envoy(parser)
    _add_concurrency(parser)
    return parser


def _parser(command: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=f"python -m puna_router {command}", description=description)


def _add_directory(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--directory", type=_folder, required=True, help="folder shared by Envoy and its control"
    )


def _add_site(parser: argparse.ArgumentParser) -> None:
    _add_directory(parser)
    parser.add_argument("--listen", default="0.0.0.0", help="address of the listeners")  # noqa: S104
    parser.add_argument("--port", type=int, default=CLIENT_PORT, help="port for clients")


def _add_envoy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--envoy", help="the binary (default: envoy on PATH or beside this Python)")
    parser.add_argument(
        "--drain-seconds", type=float, default=DRAIN_SECONDS, help="longest graceful end"
    )


def _add_concurrency(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--concurrency", type=int, default=2, help="threads of Envoy")
