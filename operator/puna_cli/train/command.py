"""The `puna train` commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any

import click

from puna_cli.binaries.find import find_kubectl
from puna_cli.cluster.settle import UpOptions
from puna_cli.cluster.state import read_state
from puna_cli.errors import CommandError
from puna_cli.kubectl import Kubectl
from puna_cli.paths import cluster_paths
from puna_cli.report import Report, Step
from puna_cli.train.ending import ending
from puna_cli.train.job import CONTAINER, newest_pod, read_status
from puna_cli.train.logs import follow
from puna_cli.train.patience import Patience
from puna_cli.train.watch import watch


@click.group("train")
def train_group() -> None:
    """See how training runs are getting on."""


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the run that is meant, and hand over its kubectl."""

    @click.argument("run")
    @click.option("--namespace", "-n", default="default", show_default=True)
    @click.option(
        "--kubeconfig",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Of another cluster than the local one.",
    )
    @click.option(
        "--name", default=UpOptions().name, show_default=True, help="Name of the local cluster."
    )
    @wraps(command)
    def with_kubectl(*, name: str, kubeconfig: Path | None, **arguments: Any) -> Any:
        if kubeconfig is None:
            paths = cluster_paths(os.environ, name)
            state = read_state(paths)
            if state is None:
                raise CommandError(f"there is no cluster {name}: `puna up`, or name --kubeconfig")
            kubeconfig = Path(state.kubeconfig or paths.kubeconfig)
        binary = find_kubectl(os.environ, Step(Report().console, "kubectl"))
        return command(kubectl=Kubectl(binary, kubeconfig), **arguments)

    return with_kubectl


@train_group.command("watch")
@run_options
def watch_command(*, kubectl: Kubectl, namespace: str, run: str) -> None:
    """Show RUN with its loss curve until it has ended; exit status 1 if it failed."""
    console = Report().console
    look = partial(read_status, kubectl, namespace, run)
    look()  # what is wrong from the beginning is not waited for
    patience = Patience(partial(console.print, markup=False, highlight=False, soft_wrap=True))
    if not watch(run, partial(patience.ask, look), console):
        sys.exit(1)


@train_group.command("logs")
@click.option("--follow", "-f", "goes_on", is_flag=True, help="Go on until the run has ended.")
@run_options
def logs_command(*, kubectl: Kubectl, namespace: str, run: str, goes_on: bool) -> None:
    """Print what the trainer of RUN writes; with -f also after a retry."""
    status = read_status(kubectl, namespace, run)
    if goes_on:
        write = partial(click.echo, nl=False)
        patience = Patience(partial(click.echo, err=True))
        follow(kubectl, namespace, run, write=write, patience=patience)
        return
    pod = newest_pod(kubectl, namespace, run)
    if pod is None:
        raise CommandError(
            f"TrainingJob {run} has no Pod: {ending(status) or status.summary.stage}"
        )
    kubectl.show("logs", f"--namespace={namespace}", pod, f"--container={CONTAINER}")
