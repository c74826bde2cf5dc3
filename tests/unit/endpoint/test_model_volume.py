from __future__ import annotations

from typing import Any

import pytest

from puna.api.model_source import ModelSource
from puna.endpoint.model_volume import ModelVolume, model_volume
from puna_fetch.config import FetchRequest
from puna_fetch.request import parse_request
from tests.factories import HTTPS_MODEL, NAMESPACE, SHA, settings

CLAIM = {"cache": {"persistentVolumeClaim": {"claimName": "models"}}}
CACHED = f"/models/team/{SHA}/tiny.gguf"
FILE_MODEL = {"uri": "file:///srv/models/a/tiny.gguf"}


def volume(model: dict[str, Any], **overrides: Any) -> ModelVolume:
    return model_volume(
        ModelSource.model_validate(model), namespace=NAMESPACE, settings=settings(**overrides)
    )


@pytest.mark.parametrize(
    ("model", "host_path", "source"),
    [
        (HTTPS_MODEL, None, {"emptyDir": {}}),
        (
            HTTPS_MODEL,
            "/var/cache/puna",
            {"hostPath": {"path": "/var/cache/puna", "type": "DirectoryOrCreate"}},
        ),
        (
            HTTPS_MODEL | CLAIM,
            "/var/cache/puna",
            {"persistentVolumeClaim": {"claimName": "models"}},
        ),
    ],
)
def test_a_fetched_model_lies_in_a_claim_a_folder_of_the_node_or_of_the_pod(
    model: dict[str, Any], host_path: str | None, source: dict[str, Any]
) -> None:
    made = volume(model, model_cache_host_path=host_path)
    assert made.volumes == ({"name": "models", **source},)
    assert made.path == CACHED


def test_a_server_reads_what_the_fetcher_writes() -> None:
    made = volume(HTTPS_MODEL)
    assert made.fetch_mounts == ({"name": "models", "mountPath": "/models"},)
    assert made.server_mounts == ({"name": "models", "mountPath": "/models", "readOnly": True},)


def test_a_claims_model_is_mounted_where_it_lies() -> None:
    made = volume({"uri": "pvc://models/a/tiny.gguf"})
    assert made.path == "/source/a/tiny.gguf"
    assert made.volumes == (
        {
            "name": "source",
            "persistentVolumeClaim": {"claimName": "models", "readOnly": True},
        },
    )
    assert made.fetch_mounts == made.server_mounts


def test_a_nodes_model_is_mounted_by_the_longest_allowed_folder() -> None:
    made = volume(FILE_MODEL, model_folders=("/srv", "/srv/models"))
    assert made.path == "/source/a/tiny.gguf"
    assert made.volumes == (
        {"name": "source", "hostPath": {"path": "/srv/models", "type": "Directory"}},
    )


def test_a_checked_file_of_a_node_is_remembered_on_the_node() -> None:
    made = volume(FILE_MODEL, model_cache_host_path="/var/cache/puna")
    assert made.request.record_directory == "/models/team/.records"
    assert [mount["name"] for mount in made.fetch_mounts] == ["source", "models"]
    assert [mount["name"] for mount in made.server_mounts] == ["source"]


def test_only_the_fetcher_sees_credentials_and_authority() -> None:
    secrets = {"credentialsSecretRef": {"name": "token"}, "caSecretRef": {"name": "ca-bundle"}}
    made = volume(HTTPS_MODEL | secrets)
    assert made.volumes[1:] == (
        {"name": "credentials", "secret": {"secretName": "token"}},
        {"name": "ca", "secret": {"secretName": "ca-bundle"}},
    )
    assert [mount["name"] for mount in made.fetch_mounts] == ["models", "credentials", "ca"]
    assert [mount["name"] for mount in made.server_mounts] == ["models"]
    assert (made.request.credentials_directory, made.request.ca_file) == (
        "/etc/puna/credentials",
        "/etc/puna/ca/ca.crt",
    )


@pytest.mark.parametrize(
    "model",
    [
        HTTPS_MODEL,
        HTTPS_MODEL | {"credentialsSecretRef": {"name": "t"}, "caSecretRef": {"name": "c"}},
        {"uri": "pvc://models/a%20b.gguf", "sha256": SHA},
        FILE_MODEL,
    ],
)
def test_the_fetcher_reads_the_request_that_it_is_given(model: dict[str, Any]) -> None:
    request = volume(model, allowed_networks=("10.0.0.0/8", "fd00::/8")).request
    read = parse_request(request.to_args())
    assert request == FetchRequest(
        uri=read.uri,
        sha256=read.sha256,
        destination=str(read.destination),
        credentials_directory=read.credentials_directory and str(read.credentials_directory),
        ca_file=read.ca_file and str(read.ca_file),
        allowed_networks=read.allowed_networks,
        max_bytes=read.max_bytes,
    )
