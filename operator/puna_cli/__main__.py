"""The `puna` command."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from puna_cli.cluster.settle import UpOptions
from puna_cli.errors import CommandError
from puna_cli.keys.command import key_group
from puna_cli.kubectl import Kubectl
from puna_cli.report import Report
from puna_cli.train.command import train_group

NOT_UP = 3
"""Exit status of `puna status` for a cluster of which something does not work."""


class Commands(click.Group):
    """A group whose commands end with a sentence instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; print what a CommandError says and exit 1."""
        try:
            return super().invoke(ctx)
        except CommandError as error:
            click.secho("error: ", fg="red", err=True, nl=False)
            click.echo(str(error), err=True)
            ctx.exit(1)


name_option = click.option(
    "--name", default=UpOptions().name, show_default=True, help="Name of the cluster."
)


def cluster_options(command: Any) -> Any:
    """Options of every command that brings a cluster up."""
    for option in (
        name_option,
        click.option("--port", type=click.IntRange(1, 65535), help="Port of the front."),
        click.option(
            "--accelerator",
            type=click.Choice(["cpu", "metal", "cuda"]),
            help="What this machine has; a Mac has metal, others cpu.",
        ),
        click.option(
            "--models-folder",
            "models_folders",
            multiple=True,
            type=click.Path(exists=True, file_okay=False, resolve_path=True),
            help="Folder that file:// models may lie in; may be repeated.",
        ),
        click.option(
            "--llama-server",
            type=click.Path(resolve_path=True),
            help="Path of a llama-server to use.",
        ),
    ):
        command = option(command)
    return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="puna")
def main() -> None:
    """Train and serve local language models on Kubernetes."""


@main.command("up")
@cluster_options
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path),
    help="Use this cluster: install the custom resources and run the operator here.",
)
def up_command(kubeconfig: Path | None, **options: Any) -> None:
    """Bring a local cluster up, or repair it."""
    from puna_cli.cluster.existing import attach  # noqa: PLC0415 - slow to import
    from puna_cli.cluster.up import up  # noqa: PLC0415

    report = Report()
    if kubeconfig is not None:
        attached = attach(options["name"], kubeconfig, os.environ, report)
        report.text(f"The operator works on {attached.kubectl.kubeconfig}; it stops with")
        report.text(f"  puna down --name {options['name']}")
        return
    cluster = up(UpOptions(**options), os.environ, report)
    report.text(
        f"{'Up' if cluster.started else 'Already up'}: OpenAI clients at {cluster.state.front}/v1"
    )
    report.text(f"  export KUBECONFIG={cluster.paths.kubeconfig}")


@main.command("down")
@name_option
@click.option("--purge", is_flag=True, help="Remove the cluster's data as well.")
def down_command(*, name: str, purge: bool) -> None:
    """End a cluster: no process is left; its data stay for the next `puna up`."""
    from puna_cli.cluster.down import down  # noqa: PLC0415

    report = Report()
    if not down(name, os.environ, report, purge=purge):
        report.text(f"Cluster {name} is not running.")


@main.command("status")
@name_option
def status_command(*, name: str) -> None:
    """Show what of a cluster runs; exit status 3 if something does not."""
    from puna_cli.cluster.status import cluster_status  # noqa: PLC0415
    from puna_cli.paths import cluster_paths  # noqa: PLC0415

    report = Report()
    paths = cluster_paths(os.environ, name)
    status = cluster_status(paths)
    if status is None or status.is_down:
        report.text(f"Cluster {name} is not running: `puna up` starts it.")
        sys.exit(NOT_UP)
    table = Table(box=None, pad_edge=False)
    for column in ("process", "state", "pid", "for", "memory"):
        table.add_column(column)
    for process in status.processes:
        table.add_row(
            process.name,
            "[green]running[/green]" if process.pid else "[red]stopped[/red]",
            str(process.pid or ""),
            f"{process.seconds:.0f} s" if process.pid else "",
            f"{process.memory >> 20} MiB" if process.pid else "",
        )
    report.console.print(table, soft_wrap=True)
    report.text(f"logs: {paths.logs}")
    for what, good in status.checks.items():
        report.line(f"{what}: {'[green]yes[/green]' if good else '[red]no[/red]'}")
    if status.state.kubeconfig is None:
        report.text(f"OpenAI clients: {status.state.front}/v1")
        report.text(f"KUBECONFIG={paths.kubeconfig}")
    if not status.is_up:
        report.text("`puna up` repairs it.")
        sys.exit(NOT_UP)


@main.command("chat")
@name_option
@click.option("--namespace", "-n", default="default", show_default=True)
@click.option("--url", help="Base URL of another router, ending in /v1.")
@click.option("--max-tokens", type=click.IntRange(1))
@click.option("--key", envvar="PUNA_API_KEY", help="API key; PUNA_API_KEY if not given.")
@click.argument("endpoint")
@click.argument("prompt", required=False)
def chat_command(
    *,
    name: str,
    namespace: str,
    url: str | None,
    max_tokens: int | None,
    key: str | None,
    endpoint: str,
    prompt: str | None,
) -> None:
    """Talk to ENDPOINT (or ENDPOINT:PRESET); without PROMPT until end of input."""
    from puna_cli.chat.talk import talk  # noqa: PLC0415
    from puna_cli.cluster.state import read_state  # noqa: PLC0415
    from puna_cli.paths import cluster_paths  # noqa: PLC0415

    if url is None:
        state = read_state(cluster_paths(os.environ, name))
        if state is None or state.kubeconfig is not None:
            raise CommandError(f"there is no local cluster {name}: `puna up`, or name --url")
        url = f"{state.front}/namespaces/{namespace}/v1"
    talk(url.rstrip("/"), endpoint, prompt, Report(), max_tokens=max_tokens, key=key)


def order_options(command: Any) -> Any:
    """Options of the commands about the rollout of an endpoint."""
    for option in (
        click.argument("endpoint"),
        click.option("--namespace", "-n", default="default", show_default=True),
        click.option(
            "--kubeconfig",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Of another cluster than the local one.",
        ),
        name_option,
    ):
        command = option(command)
    return command


@main.command("promote")
@order_options
def promote_command(*, endpoint: str, namespace: str, **cluster: Any) -> None:
    """Let the canary of ENDPOINT take over."""
    from puna_cli.canary import promote  # noqa: PLC0415 - slow to import

    Report().text(promote(_kubectl(**cluster), namespace, endpoint, now=int(time.time())))


@main.command("abort")
@order_options
def abort_command(*, endpoint: str, namespace: str, **cluster: Any) -> None:
    """End the canary of ENDPOINT: the stable revision gets all requests."""
    from puna_cli.canary import abort  # noqa: PLC0415 - slow to import

    Report().text(abort(_kubectl(**cluster), namespace, endpoint, now=int(time.time())))


@main.command("retry")
@order_options
def retry_command(*, endpoint: str, namespace: str, **cluster: Any) -> None:
    """Begin the canary of ENDPOINT anew that was aborted or failed."""
    from puna_cli.canary import retry  # noqa: PLC0415 - slow to import

    Report().text(retry(_kubectl(**cluster), namespace, endpoint, now=int(time.time())))


@main.command("history")
@order_options
def history_command(*, endpoint: str, namespace: str, **cluster: Any) -> None:
    """Show the stored revisions of ENDPOINT."""
    from puna_cli.revisions import COLUMNS, history  # noqa: PLC0415 - slow to import

    report = Report()
    rows, rollout = history(_kubectl(**cluster), namespace, endpoint)
    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    report.console.print(table, soft_wrap=True)
    report.text(f"rollout: {rollout}")


@main.command("rollback")
@order_options
@click.argument("revision", required=False)
@click.option("--undo", is_flag=True, help="Take the order back: what the spec means serves again.")
def rollback_command(
    *, endpoint: str, revision: str | None, namespace: str, undo: bool, **cluster: Any
) -> None:
    """Let REVISION of ENDPOINT serve, by default the one before, whatever the spec means."""
    from puna_cli import revisions  # noqa: PLC0415 - slow to import

    if undo and revision is not None:
        raise CommandError("--undo takes no revision")
    kubectl = _kubectl(**cluster)
    if undo:
        Report().text(revisions.undo(kubectl, namespace, endpoint))
        return
    now = int(time.time())
    Report().text(revisions.rollback(kubectl, namespace, endpoint, revision, now=now))


def _kubectl(*, name: str, kubeconfig: Path | None) -> Kubectl:
    """Return kubectl for a kubeconfig, or for a cluster that `puna up` knows."""
    from puna_cli.binaries.find import find_kubectl  # noqa: PLC0415
    from puna_cli.cluster.state import read_state  # noqa: PLC0415
    from puna_cli.paths import cluster_paths  # noqa: PLC0415
    from puna_cli.report import Step  # noqa: PLC0415

    if kubeconfig is None:
        paths = cluster_paths(os.environ, name)
        state = read_state(paths)
        if state is None:
            raise CommandError(f"there is no cluster {name}: `puna up`, or name --kubeconfig")
        kubeconfig = Path(state.kubeconfig or paths.kubeconfig)
    return Kubectl(find_kubectl(os.environ, Step(Report().console, "kubectl")), kubeconfig)


@main.command(
    "kubectl",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    add_help_option=False,
)
@name_option
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def kubectl_command(*, name: str, arguments: tuple[str, ...]) -> None:
    """Run kubectl on the cluster."""
    from puna_cli.binaries.find import find_kubectl  # noqa: PLC0415
    from puna_cli.cluster.state import read_state  # noqa: PLC0415
    from puna_cli.paths import cluster_paths  # noqa: PLC0415
    from puna_cli.report import Step  # noqa: PLC0415

    paths = cluster_paths(os.environ, name)
    state = read_state(paths)
    if state is None:
        raise CommandError(f"there is no cluster {name}: `puna up`")
    report = Report()
    binary = find_kubectl(os.environ, Step(report.console, "kubectl"))
    kubeconfig = state.kubeconfig or str(paths.kubeconfig)
    os.execv(binary, ["kubectl", f"--kubeconfig={kubeconfig}", *arguments])  # noqa: S606


@main.command("binaries")
def binaries_command() -> None:
    """Find or build the Kubernetes programs, and print their folder."""
    from puna_cli.binaries.find import find_binaries  # noqa: PLC0415

    report = Report()
    with report.step("Kubernetes programs") as step:
        found = find_binaries(os.environ, step)
    report.text(str(found.folder))


@main.command("demo")
@cluster_options
def demo_command(**options: Any) -> None:
    """From nothing to a streamed answer of a real model."""
    from puna_cli.demo import demo  # noqa: PLC0415

    demo(UpOptions(**options), os.environ, Report())


main.add_command(key_group)
main.add_command(train_group)


if __name__ == "__main__":
    main()
