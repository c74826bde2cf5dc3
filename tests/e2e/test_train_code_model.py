"""The example of a language model, with fewer steps and a smaller model: from text to an answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from tests.cluster import LocalCluster
from tests.e2e.models import Models
from tests.e2e.notes import note
from tests.e2e.objects import Objects
from tests.e2e.stage import Stage
from tests.e2e.tiny_language_model import copy_modules, smaller_example
from tests.e2e.training import Training, new_training

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def training(
    local_cluster: LocalCluster, objects: Objects, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Training]:
    """The example's run and endpoint, applied together."""
    made = new_training(local_cluster, objects, "code")
    copy_modules(made.claim / "code")
    manifests = tmp_path_factory.mktemp("example") / "all.yaml"
    manifests.write_text(yaml.safe_dump_all(smaller_example("05-train-a-code-model")))
    made.kubectl("apply", "-f", str(manifests))
    yield made
    made.delete()


def test_a_language_model_is_trained_proved_and_served(
    training: Training, local_cluster: LocalCluster, objects: Objects, models: Models
) -> None:
    stage = Stage(local_cluster, objects, models, training.namespace)
    waiting = stage.wait_condition("code", "ResolvedRefs", "ArtifactNotReady")
    assert "tiny-code" in waiting["message"]
    status = training.until_ended("tiny-code", seconds=180)
    artifacts = {item["name"]: item for item in status["artifacts"]}
    assert list(artifacts) == ["safetensors", "F16", "Q8_0", "Q4_K_M"]
    for name in ("F16", "Q8_0", "Q4_K_M"):
        parity = artifacts[name]["parity"]
        note(f"{name}: {parity}")
        assert parity["idsEqual"] is True
        assert parity["positions"] >= 1024
    assert training.condition("tiny-code", "ParityVerified")["status"] == "True"
    assert {"perplexity", "bigram_perplexity"} <= status["metrics"].keys()
    assert status["progress"]["done"] == [
        "data", "tokenizer", "pretrain", "evaluate", "export",
    ]  # fmt: skip

    stage.wait_ready("code", seconds=90)
    answer = stage.ask("code", prompt="def main(", max_tokens=8)
    assert answer["choices"][0]["text"]
    note(answer["choices"][0]["text"])
    (pod,) = stage.pods("code")
    assert artifacts["Q8_0"]["sha256"] in str(pod["spec"])
