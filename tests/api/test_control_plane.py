from __future__ import annotations

import ssl

import httpx
import pytest

from puna_cli.cluster.identities import CLUSTER_CA
from puna_cli.errors import CommandError
from puna_cli.kubectl import Kubectl
from tests.cluster import ControlPlane, eventually, read_json, start_control_plane

pytestmark = pytest.mark.api


def test_kubectl_and_the_server_tell_the_version_they_are_built_from(
    control_plane: ControlPlane,
) -> None:
    version = read_json(control_plane.kubectl("version", "-o", "json"))
    assert version["clientVersion"]["gitVersion"] == version["serverVersion"]["gitVersion"]
    assert version["serverVersion"]["gitVersion"].startswith("v1.36.")
    assert version["serverVersion"]["minor"] == "36"


def test_a_namespace_is_fresh(control_plane: ControlPlane, namespace: str) -> None:
    found = read_json(control_plane.kubectl("get", "configmaps", "-n", namespace, "-o", "json"))
    assert found["items"] == []


def test_nobody_is_anonymous(control_plane: ControlPlane) -> None:
    context = ssl.create_default_context(cafile=str(control_plane.paths.certificate(CLUSTER_CA)))
    with httpx.Client(verify=context, trust_env=False) as client:
        assert client.get(f"{control_plane.server}/api/v1/namespaces").status_code == 401


def test_a_user_of_the_cluster_has_no_way_into_etcd(control_plane: ControlPlane) -> None:
    context = ssl.create_default_context(cafile=str(control_plane.paths.certificate("etcd-ca")))
    context.load_cert_chain(
        control_plane.paths.certificate("admin"), control_plane.paths.key("admin")
    )
    url = f"https://127.0.0.1:{control_plane.state.ports.etcd}/v3/kv/range"
    with (
        httpx.Client(verify=context, trust_env=False) as client,
        pytest.raises(httpx.TransportError),
    ):
        client.post(url, json={"key": "Lw=="})


def test_only_the_user_can_read_the_credentials(control_plane: ControlPlane) -> None:
    assert control_plane.paths.root.stat().st_mode & 0o077 == 0
    assert control_plane.kubeconfig.stat().st_mode & 0o077 == 0


def test_another_user_may_do_nothing_unless_allowed(
    control_plane: ControlPlane, namespace: str
) -> None:
    stranger = Kubectl(
        control_plane.kubectl_binary, control_plane.user_kubeconfig("stranger", "guests")
    )
    with pytest.raises(CommandError, match='User "stranger" cannot list resource "pods"'):
        stranger.run("get", "pods", "-n", namespace)


def test_controllers_work_and_the_audit_log_holds_one_user_only(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    plane = start_control_plane(
        tmp_path_factory.mktemp("audited"), controllers=True, audit_users=("watched",)
    )
    try:
        plane.kubectl("create", "clusterrolebinding", "w", "--clusterrole=view", "--user=watched")
        watched = Kubectl(plane.kubectl_binary, plane.user_kubeconfig("watched"))

        def listed() -> bool | None:
            # The authorizer learns of a binding a moment after it is stored.
            try:
                watched.run("get", "configmaps", "-n", "default")
            except CommandError:
                return None
            return True

        eventually(listed, what="the binding")
        assert plane.audit_log is not None
        log = plane.audit_log
        events = eventually(lambda: log.read_text().splitlines() or None, what="audit events")
        assert {read_json(event)["user"]["username"] for event in events} == {"watched"}
    finally:
        plane.stop()
