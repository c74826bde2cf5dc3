from __future__ import annotations

from puna.api.conditions import find
from puna.api.reasons import ConditionType, Reason
from puna.api.training_status import ArtifactStatus
from puna.core.plan import Manifest, Plan
from puna.endpoint.plan import plan
from puna_trainer.config.output import ArtifactType
from tests.factories import NOW, endpoint, observed, settings

FOLLOWING = endpoint(model={"trainingJobRef": {"name": "tiny", "artifact": "Q8_0"}})
CLAIMS: dict[str, Manifest] = {"runs": {}}


def file(digest: str) -> ArtifactStatus:
    return ArtifactStatus(
        name="Q8_0",
        uri="pvc://runs/tiny/export/tiny-Q8_0.gguf",
        sha256=digest * 64,
        type=ArtifactType.Q8_0,
        size_bytes=1,
    )


def made(artifacts: dict[str, ArtifactStatus] | None, *children: Manifest) -> Plan[object]:
    seen = observed(artifacts=artifacts, children=children, claims=CLAIMS)
    return plan(FOLLOWING, seen, settings(), NOW)  # type: ignore[return-value]


def of_kind(result: Plan[object], kind: str) -> list[Manifest]:
    return [child for child in result.children or () if child["kind"] == kind]


def reason(result: Plan[object]) -> tuple[str, Reason]:
    found = find(result.status.conditions, ConditionType.RESOLVED_REFS)  # type: ignore[attr-defined]
    assert found is not None
    return found.status, found.reason


def test_an_endpoint_waits_for_its_run_and_for_its_file() -> None:
    assert reason(made(None)) == ("False", Reason.TRAINING_JOB_NOT_FOUND)
    assert reason(made({})) == ("False", Reason.ARTIFACT_NOT_READY)
    assert reason(made({"F16": file("a")})) == ("False", Reason.ARTIFACT_NOT_READY)
    assert made(None).children is None


def test_a_verified_file_is_served_from_where_it_lies_and_by_its_digest() -> None:
    result = made({"Q8_0": file("a")})
    assert reason(result) == ("True", Reason.RESOLVED)
    (deployment,) = of_kind(result, "Deployment")
    arguments = deployment["spec"]["template"]["spec"]["initContainers"][0]["args"]
    assert "--uri=pvc://runs/tiny/export/tiny-Q8_0.gguf" in arguments
    assert f"--sha256={'a' * 64}" in arguments


def test_a_newer_file_is_another_revision() -> None:
    (old,) = of_kind(made({"Q8_0": file("a")}), "ControllerRevision")
    (new,) = of_kind(made({"Q8_0": file("b")}), "ControllerRevision")
    assert old["metadata"]["name"] != new["metadata"]["name"]


def test_a_run_that_is_gone_or_runs_again_takes_nothing_away() -> None:
    first = made({"Q8_0": file("a")})
    (revision,) = of_kind(first, "ControllerRevision")
    labels = revision["metadata"]["labels"] | {"puna.dev/role": "stable", "puna.dev/proven": "true"}
    stored = revision | {"metadata": revision["metadata"] | {"labels": labels}}
    gone: tuple[dict[str, ArtifactStatus] | None, ...] = (None, {})
    for artifacts in gone:
        later = made(artifacts, stored)
        assert reason(later) == ("True", Reason.RESOLVED)
        assert [item["metadata"]["name"] for item in of_kind(later, "Deployment")] == [
            item["metadata"]["name"] for item in of_kind(first, "Deployment")
        ]
