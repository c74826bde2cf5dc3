from __future__ import annotations

from typing import Any

import pytest

from puna.api.model_source import ModelSource
from puna.api.reasons import Reason
from puna.core.addresses import folder_of
from puna.core.findings import first_finding
from puna.core.plan import ObjectKey
from puna.endpoint.accept import (
    REFERENCE_CHECKS,
    SPEC_CHECKS,
    claim_names,
    secret_names,
)
from tests.factories import HTTPS_MODEL, accept_input, endpoint, observed, preset, presets


def refusal(spec: dict[str, Any], **seen: Any) -> tuple[Reason, str] | None:
    """What stands against an endpoint, in the order of the checks."""
    value = accept_input(endpoint(**spec), observed(**seen))
    finding = first_finding((*SPEC_CHECKS, *REFERENCE_CHECKS), value)
    return None if finding is None else (finding.reason, finding.message)


def test_nothing_stands_against_a_minimal_endpoint() -> None:
    assert refusal({}) is None


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("hf://repository", "hf://<organization>/<repository>/<file>"),
        ("hf://org/repo/file@", "the revision after '@' is empty"),
        ("file:///srv/models/%2e%2e/shadow", "must not contain '..'"),
        ("https://models.example/%2e%2e/x.gguf", "must not contain '..'"),
        ("https://[models.example/x.gguf", "Invalid IPv6 URL"),
        ("https://models.example/a%00b.gguf", "control characters"),
    ],
)
def test_a_uri_that_names_no_file_is_refused_by_its_field(uri: str, words: str) -> None:
    found = refusal({"model": {"uri": uri, "sha256": "1" * 64}})
    assert found is not None
    assert found[0] is Reason.INVALID_SPEC
    assert found[1].startswith("spec.model.uri: ")
    assert words in found[1]


def test_a_file_outside_the_allowed_folders_is_refused() -> None:
    assert refusal({"model": {"uri": "file:///etc/shadow"}}) == (
        Reason.ADDRESS_REFUSED,
        (
            "spec.model.uri: file:///etc/shadow is in no folder that the operator's setting "
            "PUNA_MODEL_FOLDERS allows (/srv/models)"
        ),
    )


def test_the_longest_folder_that_holds_a_file_is_the_one() -> None:
    folders = ("/srv", "/srv/models", "/srv/mod")
    assert folder_of("file:///srv/models/a%20b.gguf", folders) == "/srv/models"
    assert folder_of("file:///srv/modelsx/a.gguf", folders) == "/srv"
    assert folder_of("file:///opt/a.gguf", folders) is None


def test_a_label_that_the_accelerators_nodes_cannot_have_is_refused() -> None:
    assert refusal({"accelerator": "metal", "nodeSelector": {"puna.dev/accelerator": "cuda"}}) == (
        Reason.INVALID_SPEC,
        (
            "spec.nodeSelector: accelerator metal runs on nodes with puna.dev/accelerator=metal; "
            "remove puna.dev/accelerator"
        ),
    )


def test_a_label_that_says_the_same_as_the_accelerator_is_fine() -> None:
    selector = {"puna.dev/accelerator": "metal", "zone": "a"}
    assert refusal({"accelerator": "metal", "nodeSelector": selector}) is None


def test_an_accelerators_own_resource_is_counted_by_its_field_alone() -> None:
    pool = {"name": "gpu", "accelerator": "cuda", "resources": {"limits": {"nvidia.com/gpu": "2"}}}
    assert refusal({"pools": [pool]}) == (
        Reason.INVALID_SPEC,
        (
            "spec.pools[gpu].resources: nvidia.com/gpu is what "
            "spec.pools[gpu].acceleratorCount sets; remove it here"
        ),
    )


def test_of_several_foreign_objects_the_first_is_named() -> None:
    keys = frozenset(
        ObjectKey(version, kind, "team", "chat")
        for version, kind in (("v1", "Service"), ("apps/v1", "Deployment"))
    )
    assert refusal({}, foreign=keys) == (
        Reason.NAME_CONFLICT,
        (
            "Deployment chat exists and does not belong to this LLMEndpoint; delete it or give the "
            "LLMEndpoint another name"
        ),
    )


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"presetRef": {"name": "absent"}, "presets": ["absent"]}, "spec.presetRef.name"),
        ({"presets": ["precise", "absent"]}, "spec.presets"),
    ],
)
def test_a_missing_preset_is_named_with_its_field(spec: dict[str, Any], field: str) -> None:
    assert refusal(spec, presets=presets(preset("precise"))) == (
        Reason.PRESET_NOT_FOUND,
        f"{field}: there is no Preset absent in namespace team; create it or name another",
    )


@pytest.mark.parametrize(
    ("own", "listed", "field"),
    [
        ({}, {"server": {"slots": 2}}, "server"),
        ({"server": {"slots": 2}}, {"server": {}}, "server"),
        ({}, {"prompt": {"chatTemplate": "x"}}, "prompt.chatTemplate"),
        (
            {"prompt": {"chatTemplate": "x"}},
            {"prompt": {"chatTemplate": "y"}},
            "prompt.chatTemplate",
        ),
    ],
)
def test_a_listed_preset_that_needs_another_server_is_refused(
    own: dict[str, Any], listed: dict[str, Any], field: str
) -> None:
    found = refusal(
        {"presetRef": {"name": "own"}, "presets": ["own", "listed"]},
        presets=presets(preset("own", **own), preset("listed", **listed)),
    )
    assert found == (
        Reason.PRESET_NEEDS_OWN_SERVER,
        (
            f"spec.presets: Preset listed sets spec.{field} to other values than this endpoint "
            f"runs with; remove spec.{field} from it, or serve it by an LLMEndpoint of its own"
        ),
    )


@pytest.mark.parametrize(
    ("analysis", "told"),
    [
        (
            {"goldenPrompts": [{"name": "a", "prompt": "b", "expected": {"contains": "c"}}]},
            "goldenPrompts: a server in mode {mode} answers no prompts; remove them",
        ),
        (
            {"minTokensPerSecondPercent": 80},
            (
                "minTokensPerSecondPercent: a server in mode {mode} generates no tokens; remove "
                "it: maxLatencyPercent compares whole answers"
            ),
        ),
    ],
)
def test_what_a_server_of_another_mode_cannot_show_is_refused(
    analysis: dict[str, Any], told: str
) -> None:
    canary = {"steps": [{"weight": 10}], "analysis": analysis}
    spec = {
        "presetRef": {"name": "own"},
        "rollout": {"strategy": "Canary", "canary": canary},
    }
    for mode in ("Embedding", "Rerank"):
        found = refusal(spec, presets=presets(preset("own", server={"mode": mode})))
        message = f"spec.rollout.canary.analysis.{told.format(mode=mode)}"
        assert found == (Reason.INVALID_SPEC, message)
        surge = spec | {"rollout": {"strategy": "Surge", "canary": canary}}
        seen = presets(preset("own", server={"mode": mode}))
        assert refusal(surge, presets=seen) is None
    assert refusal(spec, presets=presets(preset("own"))) is None


@pytest.mark.parametrize(
    "listed",
    [
        {"sampling": {"temperature": 0}},
        {"server": {"promptCacheMemory": "1024Mi", "slots": 1}},
        {"prompt": {"system": "Be brief."}},
    ],
)
def test_a_listed_preset_that_means_the_same_server_is_fine(listed: dict[str, Any]) -> None:
    own = preset("own", server={"promptCacheMemory": "1Gi"})
    spec = {"presetRef": {"name": "own"}, "presets": ["listed"]}
    assert refusal(spec, presets=presets(own, preset("listed", **listed))) is None


@pytest.mark.parametrize("field", ["credentialsSecretRef", "caSecretRef"])
def test_a_missing_secret_is_named_with_its_field(field: str) -> None:
    spec = {"model": HTTPS_MODEL | {field: {"name": "absent"}}}
    assert refusal(spec, missing_secrets=frozenset({"absent"})) == (
        Reason.SECRET_NOT_FOUND,
        (
            f"spec.model.{field}.name: there is no Secret absent in namespace team; create it or "
            "name another"
        ),
    )


@pytest.mark.parametrize(
    ("model", "field"),
    [
        ({"uri": "pvc://models/a.gguf"}, "uri"),
        (
            HTTPS_MODEL | {"cache": {"persistentVolumeClaim": {"claimName": "models"}}},
            "cache.persistentVolumeClaim.claimName",
        ),
    ],
)
def test_a_missing_claim_is_named_with_its_field(model: dict[str, Any], field: str) -> None:
    assert refusal({"model": model}) == (
        Reason.VOLUME_CLAIM_NOT_FOUND,
        (
            f"spec.model.{field}: there is no PersistentVolumeClaim models in namespace team; "
            "create it or name another"
        ),
    )
    assert refusal({"model": model}, claims={"models": {}}) is None


def test_a_model_names_its_claims() -> None:
    plain = ModelSource.model_validate(HTTPS_MODEL)
    claimed = ModelSource.model_validate({"uri": "pvc://models/a/b.gguf"})
    cached = ModelSource.model_validate(
        HTTPS_MODEL | {"cache": {"persistentVolumeClaim": {"claimName": "cache"}}}
    )
    assert [claim_names(model) for model in (plain, claimed, cached)] == [
        (),
        ("models",),
        ("cache",),
    ]


def test_a_spec_names_its_secrets() -> None:
    model = {"credentialsSecretRef": {"name": "token"}, "caSecretRef": {"name": "ca"}}
    studio = {
        "name": "studio",
        "url": "https://studio.example",
        "apiKeySecretRef": {"name": "key"},
        "caSecretRef": {"name": "ca"},
    }
    spec = endpoint(model=HTTPS_MODEL | model, externalEndpoints=[studio]).spec
    assert secret_names(endpoint().spec) == ()
    assert secret_names(spec) == ("token", "ca", "key", "ca")


def test_a_missing_secret_of_an_external_server_is_named_with_its_field() -> None:
    studio = {"name": "studio", "url": "https://a.example", "apiKeySecretRef": {"name": "absent"}}
    found = refusal({"externalEndpoints": [studio]}, missing_secrets=frozenset({"absent"}))
    assert found is not None
    assert found[0] is Reason.SECRET_NOT_FOUND
    assert found[1].startswith("spec.externalEndpoints[studio].apiKeySecretRef.name: ")


def external(url: str, **knobs: Any) -> tuple[Reason, str] | None:
    """What stands against an external server."""
    value = accept_input(endpoint(externalEndpoints=[{"name": "studio", "url": url}]), **knobs)
    finding = first_finding(SPEC_CHECKS, value)
    return None if finding is None else (finding.reason, finding.message)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1 is a loopback address"),
        ("http://[::1]:8080", "::1 is a loopback address"),
        ("http://169.254.169.254", "169.254.169.254 is a link-local address"),
        ("https://10.1.2.3", "10.1.2.3 is a private address"),
        ("http://[::ffff:192.168.0.1]", "192.168.0.1 is a private address"),
        ("http://0.0.0.0", "0.0.0.0 is the unspecified address"),
        ("https://203.0.114.9:6443", "203.0.114.9 is the API server"),
        ("https://API.example", "api.example is the API server"),
    ],
)
def test_an_external_server_at_an_address_of_the_inside_is_refused(url: str, words: str) -> None:
    host = "api.example" if "API" in url else "203.0.114.9"
    assert external(url, api_server_host=host) == (
        Reason.ADDRESS_REFUSED,
        (
            f"spec.externalEndpoints[studio].url: {words}, which the operator's setting "
            "PUNA_ALLOWED_NETWORKS does not name"
        ),
    )


@pytest.mark.parametrize(
    "url", ["https://203.0.114.9", "https://[2606:4700::1]/", "https://studio.example:8443"]
)
def test_an_external_server_outside_is_fine_and_a_name_is_the_routers_to_judge(url: str) -> None:
    assert external(url) is None


def test_an_inside_address_that_the_settings_name_is_fine() -> None:
    networks = ("10.0.0.0/8", "203.0.114.9/32")
    assert external("http://10.1.2.3:8080", allowed_networks=networks) is None
    allowed = external(
        "https://203.0.114.9", allowed_networks=networks, api_server_host="203.0.114.9"
    )
    assert allowed is None


@pytest.mark.parametrize("url", ["http://[10.0.0.1", "http://studio.example:70000"])
def test_a_url_that_names_no_server_is_refused(url: str) -> None:
    found = external(url)
    assert found is not None
    assert found[0] is Reason.INVALID_SPEC
    assert found[1].startswith(f"spec.externalEndpoints[studio].url: {url}: ")


@pytest.mark.parametrize(
    ("routing", "expected"),
    [
        ({"keepAliveSeconds": 300}, (300, 300)),
        ({"idleTimeoutSeconds": 15}, (15, 15)),
        ({"idleTimeoutSeconds": 16}, None),
        ({"keepAliveSeconds": 30, "idleTimeoutSeconds": 20}, (30, 20)),
    ],
)
def test_comments_that_come_after_the_end_of_a_silent_stream_are_refused(
    routing: dict[str, int], expected: tuple[int, int] | None
) -> None:
    told = expected and (
        Reason.INVALID_SPEC,
        (
            f"spec.routing.keepAliveSeconds: {expected[0]} s of silence end a stream whose "
            f"idleTimeoutSeconds are {expected[1]}; set a smaller one"
        ),
    )
    assert refusal({"routing": routing}) == told


def test_access_names_a_secret_too() -> None:
    assert secret_names(endpoint(access={"apiKeySecretRef": {"name": "keys"}}).spec) == ("keys",)
