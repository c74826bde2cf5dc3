from __future__ import annotations

from puna_node.fields import Downward
from puna_node.sources import SourceRef, Sources
from puna_node.volume_files import FileContent, TokenRequest, token_requests, volume_files
from tests.unit.node.pods import pod

SOURCES: Sources = {
    SourceRef("configmap", "kube-root-ca.crt"): {"ca.crt": b"CA"},
    SourceRef("secret", "s"): {"a": b"1", "b": b"2"},
    SourceRef("secret", "gone"): None,
}
API_ACCESS = {
    "name": "kube-api-access",
    "projected": {
        "defaultMode": 420,
        "sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
            {
                "configMap": {
                    "name": "kube-root-ca.crt",
                    "items": [{"key": "ca.crt", "path": "ca.crt"}],
                }
            },
            {
                "downwardAPI": {
                    "items": [
                        {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}
                    ]
                }
            },
        ],
    },
}
DOWNWARD = Downward(pod(), "127.77.0.1", "10.0.0.1", {})


def test_the_usual_token_volume_holds_token_authority_and_namespace() -> None:
    manifest = pod(volumes=[API_ACCESS])
    (request,) = token_requests(manifest)
    assert request == TokenRequest("", 3607)
    files = volume_files(API_ACCESS, SOURCES, {request: "jwt"}, DOWNWARD)
    assert files == {
        "token": FileContent(b"jwt", 0o600),
        "ca.crt": FileContent(b"CA", 0o644),
        "namespace": FileContent(b"default", 0o644),
    }


def test_items_choose_keys_paths_and_modes() -> None:
    volume = {
        "name": "v",
        "secret": {
            "secretName": "s",
            "defaultMode": 0o400,
            "items": [{"key": "a", "path": "deep/a"}, {"key": "b", "path": "b", "mode": 0o440}],
        },
    }
    assert volume_files(volume, SOURCES, {}, DOWNWARD) == {
        "deep/a": FileContent(b"1", 0o400),
        "b": FileContent(b"2", 0o440),
    }


def test_an_optional_source_that_is_not_there_gives_no_file() -> None:
    volume = {"name": "v", "secret": {"secretName": "gone", "optional": True}}
    assert volume_files(volume, SOURCES, {}, DOWNWARD) == {}
