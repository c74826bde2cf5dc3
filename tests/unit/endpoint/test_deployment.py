from __future__ import annotations

from typing import Any

import pytest

from puna.api.pool import Pool
from puna.api.rollout import RolloutStrategy
from puna.core.plan import Manifest
from puna.endpoint.deployment import build_deployment, deployed_pool
from tests.factories import NAME, NAMESPACE, revision, settings


def built(*, strategy: RolloutStrategy = RolloutStrategy.SURGE, **pool: Any) -> Manifest:
    return build_deployment(
        namespace=NAMESPACE,
        endpoint=NAME,
        pool=Pool.model_validate({"name": "gpu", "accelerator": "cpu"} | pool),
        revision=revision(),
        strategy=strategy,
        settings=settings(),
        backend_key="0123abcd",
        carried="[]",
    )


def test_it_is_named_after_endpoint_pool_and_process() -> None:
    assert built()["metadata"]["name"] == f"chat-gpu-{revision().process}"


def test_it_selects_by_labels_that_no_spec_change_moves() -> None:
    selector = {
        "puna.dev/endpoint": "chat",
        "puna.dev/pool": "gpu",
        "puna.dev/process": revision().process,
    }
    made = built(replicas=7, accelerator="cuda", nodeSelector={"zone": "a"})
    assert made["spec"]["selector"]["matchLabels"] == selector
    assert selector.items() <= made["spec"]["template"]["metadata"]["labels"].items()


def test_it_says_which_pool_its_pods_were_rendered_for() -> None:
    wanted: dict[str, Any] = {
        "accelerator": "cuda",
        "resources": {"limits": {"cpu": "2"}},
        "replicas": 3,
    }
    pool = Pool.model_validate({"name": "gpu"} | wanted)
    assert deployed_pool(built(**wanted)) == pool
    assert deployed_pool({"metadata": {}, "spec": {}}) is None


@pytest.mark.parametrize(
    ("accelerator", "strategy", "surge"),
    [
        ("cpu", RolloutStrategy.SURGE, {"maxSurge": 1, "maxUnavailable": 0}),
        ("cpu", RolloutStrategy.REPLACE, {"maxSurge": 0, "maxUnavailable": 1}),
        ("cuda", RolloutStrategy.SURGE, {"maxSurge": 0, "maxUnavailable": 1}),
        ("metal", RolloutStrategy.SURGE, {"maxSurge": 0, "maxUnavailable": 1}),
    ],
)
def test_pods_of_one_process_make_room_first_where_devices_are_counted(
    accelerator: str, strategy: RolloutStrategy, surge: dict[str, int]
) -> None:
    made = built(accelerator=accelerator, strategy=strategy)
    assert made["spec"]["strategy"] == {"type": "RollingUpdate", "rollingUpdate": surge}
