"""What the account of a namespace's router may read, asked of the real API server."""

from __future__ import annotations

import pytest

from puna_cli.errors import CommandError
from tests.api.shell.conftest import Team
from tests.cluster import eventually
from tests.operator_process import OperatorProcess

pytestmark = pytest.mark.api


def reads(team: Team, *arguments: str) -> bool:
    """Whether the router's account gets an answer; a watch ends by itself after a second."""
    account = f"system:serviceaccount:{team.namespace}:puna-router"
    try:
        team.plane.kubectl(
            *("get", "secrets", f"--namespace={team.namespace}", f"--as={account}"),
            *("--request-timeout=1s", *arguments),
        )
    except CommandError as error:
        if "(Forbidden)" not in str(error):
            raise
        return False
    return True


def named(name: str) -> str:
    return f"--field-selector=metadata.name={name}"


@pytest.mark.usefixtures("running")
def test_a_router_lists_and_watches_the_secrets_that_are_named_and_no_other(team: Team) -> None:
    for name in ("team-keys", "other"):
        team.apply("Secret", name, data={})
    team.endpoint(access={"apiKeySecretRef": {"name": "team-keys"}})
    eventually(lambda: reads(team, named("team-keys")), what="the router's rights")
    assert reads(team, named("team-keys"), "--watch-only")
    assert reads(team, "team-keys")
    for others in ((named("other"),), (named("other"), "--watch-only"), ("other",), ()):
        assert not reads(team, *others), others
    assert not reads(team, named("puna-backend-key"))

    team.endpoint(access={"apiKeySecretRef": {"name": "other"}})
    eventually(lambda: reads(team, named("other")), what="the other Secret")
    eventually(lambda: not reads(team, named("team-keys")), what="the former one is out of reach")

    team.endpoint(access=None)
    eventually(lambda: team.get("Role", "puna-router-secrets") is None, what="no Role")
    eventually(lambda: not reads(team, named("other")), what="nothing to read")


def test_a_missing_secret_is_a_condition_that_goes_when_it_comes(
    team: Team, running: OperatorProcess
) -> None:
    team.endpoint(access={"apiKeySecretRef": {"name": "team-keys"}})
    eventually(lambda: team.condition("ResolvedRefs")[1] == "SecretNotFound")
    assert "Secret team-keys" in team.condition("ResolvedRefs")[2]
    eventually(lambda: "Deployment" in {kind for kind, _ in team.children()}, what="servers")
    team.apply("Secret", "team-keys", data={})
    eventually(lambda: team.condition("ResolvedRefs")[0] == "True", seconds=30)
    assert "traceback=" not in running.text()
