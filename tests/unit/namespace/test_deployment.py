from __future__ import annotations

from typing import Any

import pytest

from puna.api.pool import Resources
from puna.core.plan import Manifest
from puna.namespace.deployment import build_deployment
from puna.namespace.service import router_selector
from puna.settings import DEFAULT_ROUTER_RESOURCES, RouterSettings
from tests.factories import NAMESPACE

UID = "puna.dev/service-account-uid"


def built(
    *,
    uid: str | None = "uid-1",
    key: str = "01234567",
    previous: Manifest | None = None,
    **settings: Any,
) -> Manifest:
    made = build_deployment(
        NAMESPACE,
        RouterSettings(**settings),
        account_uid=uid,
        backend_key=key,
        previous=previous,
    )
    assert made is not None
    return made


def containers(made: Manifest) -> list[Manifest]:
    spec = made["spec"]["template"]["spec"]
    found: list[Manifest] = spec["containers"]
    return found


def test_another_account_rolls_the_router() -> None:
    assert built()["spec"]["template"]["metadata"]["annotations"][UID] == "uid-1"
    assert built(uid="uid-2") != built()


def test_another_backend_key_rolls_the_router_as_it_rolls_the_servers() -> None:
    assert built(key="76543210") != built()


def test_the_router_keeps_its_template_while_the_account_is_away() -> None:
    assert built(uid=None, previous=built()) == built()


@pytest.mark.parametrize(
    "previous", [None, {"spec": {"template": {}}}, {"spec": {"template": {"metadata": {}}}}]
)
def test_no_router_is_started_for_an_account_that_never_was(previous: Manifest | None) -> None:
    made = build_deployment(
        NAMESPACE, RouterSettings(), account_uid=None, backend_key="01234567", previous=previous
    )
    assert made is None


def test_a_router_is_replaced_before_it_goes() -> None:
    assert built()["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }


def test_streams_get_their_time_before_the_pod_is_killed() -> None:
    spec = built(drain_seconds=45)["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] > 45


def test_the_selector_finds_the_pods() -> None:
    made = built()
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert made["spec"]["selector"] == {"matchLabels": router_selector()}
    assert router_selector().items() <= labels.items()


def test_every_container_passes_the_restricted_profile() -> None:
    made = built()
    for container in containers(made):
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert made["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"] is True


def test_only_the_control_process_holds_token_and_key() -> None:
    holders = {
        container["name"]
        for container in containers(built())
        for mount in container.get("volumeMounts", ())
        if mount["name"] in {"service-account", "backend-key"}
    }
    assert holders == {"control"}


def test_every_mount_has_its_volume() -> None:
    made = built()
    volumes = {volume["name"] for volume in made["spec"]["template"]["spec"]["volumes"]}
    mounts = {
        mount["name"] for container in containers(made) for mount in container["volumeMounts"]
    }
    assert mounts == volumes


def test_every_container_has_its_own_resources() -> None:
    given = {
        name: Resources(requests={"cpu": str(number)})
        for number, name in enumerate(DEFAULT_ROUTER_RESOURCES)
    }
    found = {item["name"]: item["resources"] for item in containers(built(resources=given))}
    assert found == {name: {"requests": dict(given[name].requests)} for name in given}


def test_a_router_goes_where_the_settings_say() -> None:
    tolerations = ({"key": "edge", "operator": "Exists"},)
    spec = built(node_selector={"zone": "a"}, tolerations=tolerations)["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"zone": "a"}
    assert spec["tolerations"] == [{"key": "edge", "operator": "Exists"}]
    assert not {"nodeSelector", "tolerations"} & set(built()["spec"]["template"]["spec"])


def test_the_control_process_holds_the_certificate_and_the_probe_speaks_tls() -> None:
    made = built(tls_secret="chat-tls")
    volume = {"name": "tls", "secret": {"secretName": "chat-tls"}}
    assert volume in made["spec"]["template"]["spec"]["volumes"]
    by_name = {container["name"]: container for container in containers(made)}
    assert "--tls-directory=/etc/puna/tls" in by_name["control"]["args"]
    mount = {"name": "tls", "mountPath": "/etc/puna/tls", "readOnly": True}
    assert [name for name, item in by_name.items() if mount in item["volumeMounts"]] == ["control"]
    assert by_name["envoy"]["readinessProbe"]["httpGet"]["scheme"] == "HTTPS"
    assert by_name["control"]["readinessProbe"]["httpGet"]["scheme"] == "HTTP"
    assert "tls" not in str(containers(built()))
