"""The `puna key` commands."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click
from rich.table import Table

from puna_cli.binaries.find import find_kubectl
from puna_cli.cluster.settle import UpOptions
from puna_cli.cluster.state import read_state
from puna_cli.errors import CommandError
from puna_cli.keys.key import (
    KEY_BYTES,
    NewKey,
    checked_name,
    ending,
    new_key,
    read_key,
    renewed,
    row,
    second,
    span,
    successor,
)
from puna_cli.keys.secret import Change, KeySecret, Members
from puna_cli.kubectl import Kubectl
from puna_cli.paths import cluster_paths
from puna_cli.report import Report, Step
from puna_router.config import ApiKey

SECRET: Final = "api-keys"  # noqa: S105 - a name
"""Secret that is used where none is named."""
COLUMNS: Final = {
    "name": "NAME",
    "state": "STATE",
    "endpoints": "ENDPOINTS",
    "requestsPerMinute": "REQUESTS/MIN",
    "burst": "BURST",
    "tokensPerMinute": "TOKENS/MIN",
    "maxConcurrency": "CONCURRENCY",
    "expiresAt": "EXPIRES",
}


class Span(click.ParamType[timedelta]):
    """A time such as 30d."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Read it, or say how it is written."""
        if isinstance(value, timedelta):
            return value
        try:
            return span(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def secret_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options that say which Secret is meant, and how the answer looks."""

    @wraps(command)
    def opened(
        *, name: str, kubeconfig: Path | None, namespace: str, secret: str, **options: Any
    ) -> None:
        command(KeySecret(_kubectl(name, kubeconfig), namespace, secret), **options)

    for option in (
        click.option(
            "--output",
            type=click.Choice(["text", "json"]),
            default="text",
            show_default=True,
            help="For people, or for programs.",
        ),
        click.option(
            "--name", default=UpOptions().name, show_default=True, help="Name of the local cluster."
        ),
        click.option(
            "--kubeconfig",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="Another cluster than the local one.",
        ),
        click.option(
            "--secret", default=SECRET, show_default=True, help="Secret that holds the keys."
        ),
        click.option("--namespace", "-n", default="default", show_default=True),
    ):
        opened = option(opened)
    return opened


@click.group("key")
def key_group() -> None:
    """API keys of LLMEndpoints. A key is shown once; its SHA-256 is stored."""


@key_group.command("create")
@click.argument("key_name", metavar="NAME")
@click.option("--endpoint", "endpoints", multiple=True, help="LLMEndpoint that it opens (all).")
@click.option("--requests-per-minute", type=click.IntRange(1), help="Sustained rate.")
@click.option("--burst", type=click.IntRange(1), help="Requests at once beyond that.")
@click.option("--tokens-per-minute", type=click.IntRange(1), help="Prompt and generated tokens.")
@click.option("--max-concurrency", type=click.IntRange(1), help="Requests under way at once.")
@click.option("--expires", type=Span(), help="When it ends, for example 30d (never).")
@secret_options
def create(
    secret: KeySecret, *, key_name: str, output: str, expires: timedelta | None, **limits: Any
) -> None:
    """Make a key and show it."""
    key_name, users = checked_name(key_name), secret.endpoints()
    made = new_key(secrets.token_bytes(KEY_BYTES), expires_at=_end(expires), **limits)

    def decide(members: Members) -> Change:
        if key_name in members:
            raise CommandError(
                f"Secret {secret.name} has a key {key_name}: "
                f"`puna key rotate {key_name}` replaces it, `puna key revoke` removes it"
            )
        return {key_name: made.document.to_json().encode()}

    secret.change(decide)
    _show(secret, key_name, made, users, output)


@key_group.command("list")
@secret_options
def list_keys(secret: KeySecret, *, output: str) -> None:
    """Show the keys of a Secret, without anything that would let one in."""
    members = secret.read()
    if members is None:
        raise CommandError(
            f"there is no Secret {secret.name} in namespace {secret.namespace}: "
            "`puna key create` makes it, --secret names another"
        )
    now = datetime.now(UTC)
    rows = [row(name, read_key(content), now) for name, content in sorted(members.items())]
    if output == "json":
        click.echo(json.dumps({"secret": secret.name, "keys": rows}, indent=1))
        return
    table = Table(box=None, pad_edge=False)
    for title in COLUMNS.values():
        table.add_column(title, no_wrap=True)
    for found in rows:
        table.add_row(*(_cell(found.get(column)) for column in COLUMNS))
    Report().console.print(table, soft_wrap=True)


@key_group.command("revoke")
@click.argument("key_name", metavar="NAME")
@secret_options
def revoke(secret: KeySecret, *, key_name: str, output: str) -> None:
    """Remove a key: within a second it opens nothing."""
    _change_known(secret, key_name, lambda _: {key_name: None})
    if output == "json":
        click.echo(json.dumps({"name": key_name, "secret": secret.name, "revoked": True}))
    else:
        click.echo(f"Key {key_name} is revoked.")


@key_group.command("rotate")
@click.argument("key_name", metavar="NAME")
@click.option(
    "--overlap", type=Span(), default="24h", show_default=True, help="Time that both work."
)
@click.option("--expires", type=Span(), help="When the new one ends, for example 30d (never).")
@secret_options
def rotate(
    secret: KeySecret,
    *,
    key_name: str,
    output: str,
    overlap: timedelta,
    expires: timedelta | None,
) -> None:
    """Make a key with the limits of another, which ends after the overlap."""
    random, users = secrets.token_bytes(KEY_BYTES), secret.endpoints()
    until = second(datetime.now(UTC) + overlap)
    made: list[tuple[str, NewKey]] = []

    def decide(members: Members) -> Change:
        old = _readable(secret, key_name, members)
        fresh, following = renewed(old, random, _end(expires)), successor(key_name, members)
        made[:] = [(following, fresh)]
        return {
            following: fresh.document.to_json().encode(),
            key_name: ending(old, until).to_json().encode(),
        }

    _change_known(secret, key_name, decide)
    ((following, fresh),) = made
    _show(secret, following, fresh, users, output, replaced=(key_name, until))


def _change_known(secret: KeySecret, key_name: str, decide: Callable[[Members], Change]) -> None:
    """Change a key that has to be there."""

    def checked(members: Members) -> Change:
        if key_name not in members:
            raise CommandError(
                f"Secret {secret.name} in namespace {secret.namespace} has no key {key_name}; "
                f"it has {', '.join(sorted(members)) or 'none'}"
            )
        return decide(members)

    secret.change(checked)


def _readable(secret: KeySecret, key_name: str, members: Members) -> ApiKey:
    found = read_key(members[key_name])
    if isinstance(found, str):
        raise CommandError(f"Secret {secret.name}, member {key_name}, is no key: {found}")
    return found


def _show(
    secret: KeySecret,
    key_name: str,
    made: NewKey,
    users: list[str],
    output: str,
    *,
    replaced: tuple[str, datetime] | None = None,
) -> None:
    if output == "json":
        document = {
            **row(key_name, made.document, datetime.now(UTC)),
            "key": made.text,
            "namespace": secret.namespace,
            "secret": secret.name,
            "usedBy": users,
        }
        if replaced is not None:
            document |= {"replaces": replaced[0], "until": replaced[1].isoformat()}
        click.echo(json.dumps(document, indent=1))
        return
    click.echo(made.text)
    notes = ["This is the only time that the key is shown; clients send it as their API key."]
    if replaced is not None:
        notes.append(f"Key {replaced[0]} goes on working until {replaced[1].isoformat()}.")
    if users:
        notes.append(f"LLMEndpoints that name Secret {secret.name}: {', '.join(users)}")
    else:
        notes.append(
            f"No LLMEndpoint names Secret {secret.name} yet: "
            f"set spec.access.apiKeySecretRef.name to {secret.name}."
        )
    for note in notes:
        click.echo(note, err=True)


def _end(after: timedelta | None) -> datetime | None:
    return None if after is None else second(datetime.now(UTC) + after)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(value)
    return "" if value is None else str(value)


def _kubectl(name: str, kubeconfig: Path | None) -> Kubectl:
    report = Report()
    if kubeconfig is None:
        paths = cluster_paths(os.environ, name)
        state = read_state(paths)
        if state is None:
            raise CommandError(f"there is no local cluster {name}: `puna up`, or name --kubeconfig")
        kubeconfig = Path(state.kubeconfig) if state.kubeconfig else paths.kubeconfig
    return Kubectl(find_kubectl(os.environ, Step(report.console, "kubectl")), kubeconfig)
