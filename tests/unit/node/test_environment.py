from __future__ import annotations

import pytest

from puna_node.environment import resolve_environment
from puna_node.fields import Downward, UnknownFieldError
from puna_node.manifest import Manifest
from puna_node.sources import MissingSourceError, SourceRef, Sources, source_references
from puna_node.variables import RefusedVariableError
from tests.unit.node.pods import container, pod

SOURCES: Sources = {
    SourceRef("configmap", "c"): {"a": b"1", "not valid": b"x"},
    SourceRef("secret", "s"): {"key": b"geheim"},
    SourceRef("secret", "absent"): None,
    SourceRef("configmap", "loader"): {"PRELOAD": b"/x.so"},
}


def resolve(manifest: Manifest, sources: Sources = SOURCES) -> dict[str, str]:
    owner = pod(manifest, metadata={"labels": {"app": "x"}}, nodeName="node-1")
    downward = Downward(owner, "127.77.0.9", "10.0.0.1", {"cpu": "4", "memory": "8Gi"})
    return resolve_environment(
        manifest, sources, downward, base={"HOME": "/h"}, rewrite=lambda text: text
    )


def test_later_variables_see_earlier_ones_and_envfrom_comes_first() -> None:
    manifest = container(
        envFrom=[{"configMapRef": {"name": "c"}}],
        env=[{"name": "B", "value": "$(a)$(HOME)"}, {"name": "a", "value": "2"}],
    )
    assert resolve(manifest) == {"HOME": "/h", "a": "2", "B": "1/h"}


def test_fields_and_resources_are_told() -> None:
    def field(name: str, path: str) -> Manifest:
        return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}

    def resource(name: str, what: str, divisor: str = "1") -> Manifest:
        return {
            "name": name,
            "valueFrom": {"resourceFieldRef": {"resource": what, "divisor": divisor}},
        }

    manifest = container(
        resources={"requests": {"cpu": "250m"}, "limits": {"memory": "1Gi"}},
        env=[
            field("IP", "status.podIP"),
            field("HOST", "status.hostIP"),
            field("APP", "metadata.labels['app']"),
            field("NODE", "spec.nodeName"),
            resource("MEMORY", "limits.memory", "1Mi"),
            resource("CPU", "requests.cpu", "1m"),
            resource("NODE_CPU", "limits.cpu"),
        ],
    )
    assert resolve(manifest) == {
        "HOME": "/h",
        "IP": "127.77.0.9",
        "HOST": "10.0.0.1",
        "APP": "x",
        "NODE": "node-1",
        "MEMORY": "1024",
        "CPU": "250",
        "NODE_CPU": "4",
    }


def secret_key(name: str, key: str, **more: bool) -> Manifest:
    reference = {"name": name, "key": key, **more}
    return container(env=[{"name": "X", "valueFrom": {"secretKeyRef": reference}}])


def test_a_missing_source_or_key_is_named() -> None:
    with pytest.raises(MissingSourceError, match='secret "absent" not found'):
        resolve(secret_key("absent", "key"))
    with pytest.raises(MissingSourceError, match='key "other" not found in secret "s"'):
        resolve(secret_key("s", "other"))
    assert "X" not in resolve(secret_key("absent", "key", optional=True))
    assert resolve(secret_key("s", "key"))["X"] == "geheim"


def test_an_unknown_field_is_named() -> None:
    origin = {"fieldRef": {"fieldPath": "spec.magic"}}
    with pytest.raises(UnknownFieldError, match=r"spec\.magic"):
        resolve(container(env=[{"name": "X", "valueFrom": origin}]))


@pytest.mark.parametrize(
    "name",
    [
        *("LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "GLIBC_TUNABLES"),
        *("PYTHONPATH", "PYTHONHOME", "BASH_ENV", "GGML_BACKEND_PATH", "LLAMA_ARG_TOOLS"),
        *("LLAMA_CACHE", "ENVOY_UID", "OPENSSL_CONF", "SSL_CERT_FILE", "SSLKEYLOGFILE"),
        *("PATH", "HOME", "GCONV_PATH", "CUDA_INJECTION64_PATH", "VK_ICD_FILENAMES"),
    ],
)
def test_what_decides_which_code_runs_is_no_pods_to_set(name: str) -> None:
    with pytest.raises(RefusedVariableError, match=f"env: {name} "):
        resolve(container(env=[{"name": name, "value": ""}]))


def test_nor_by_way_of_a_config_map() -> None:
    loader = {"configMapRef": {"name": "loader"}, "prefix": "LD_"}
    with pytest.raises(RefusedVariableError, match="env: LD_PRELOAD "):
        resolve(container(envFrom=[loader]))


@pytest.mark.parametrize("name", ["POD_IP", "POD_NAMESPACE", "HF_ENDPOINT", "LOG_LEVEL", "LDAP"])
def test_ordinary_variables_are(name: str) -> None:
    assert resolve(container(env=[{"name": name, "value": "x"}]))[name] == "x"


def test_the_agents_own_variables_win() -> None:
    manifest = container(env=[{"name": "TMPDIR", "value": "/etc"}])
    downward = Downward(pod(manifest), "127.77.0.9", "10.0.0.1", {})
    base = {"TMPDIR": "/h"}
    found = resolve_environment(manifest, {}, downward, base=base, rewrite=lambda text: text)
    assert found == base


def test_everything_that_a_pod_names_is_asked_for() -> None:
    volumes = [
        {"name": "a", "secret": {"secretName": "of-volume"}},
        {"name": "b", "projected": {"sources": [{"configMap": {"name": "projected"}}]}},
    ]
    manifest = pod(secret_key("of-env", "k"), volumes=volumes)
    assert source_references(manifest) == {
        SourceRef("secret", "of-volume"),
        SourceRef("configmap", "projected"),
        SourceRef("secret", "of-env"),
    }
