from __future__ import annotations

import json
from pathlib import Path

import pytest

from puna_router.control.cluster_access import AccessError, from_kubeconfig, from_service_account


def test_outside_a_pod_the_error_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match="--kubeconfig"):
        from_service_account(tmp_path, {})
    with pytest.raises(AccessError, match=r"ca\.crt is missing: --service-account-directory"):
        from_service_account(tmp_path, {"KUBERNETES_SERVICE_HOST": "::1"})


def test_a_kubeconfig_gives_server_and_token(tmp_path: Path) -> None:
    path = tmp_path / "config"
    document = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1/"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    path.write_text(json.dumps(document))
    access = from_kubeconfig(path)
    assert (access.server, access.tls) == ("http://127.0.0.1:1", None)
    assert access.headers() == {"authorization": "Bearer t"}
    path.write_text(json.dumps({**document, "current-context": "gone"}))
    with pytest.raises(AccessError, match="no usable current context"):
        from_kubeconfig(path)
