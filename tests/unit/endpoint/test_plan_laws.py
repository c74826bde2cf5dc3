from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from puna.api.llmendpoint import LLMEndpoint
from puna.api.preset import Preset
from puna.core.naming import MANAGED_BY, child_name
from puna.core.plan import Manifest, Plan, key_of
from puna.endpoint.deployment import deployment_name
from puna.endpoint.observed import ObservedEndpoint
from puna.endpoint.plan import plan
from puna.settings import Settings
from puna_node.expand import expand
from puna_router.config import CONFIG_KEY, EndpointConfig
from tests import factories
from tests.factories import NOW
from tests.fake_cluster import FakeCluster
from tests.strategies import NAMES, POOL_NAMES, endpoints, situations

NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
Situation = tuple[LLMEndpoint, ObservedEndpoint, Settings]
Wanted = tuple[LLMEndpoint, dict[str, Preset]]


def planned(resource: LLMEndpoint, presets: dict[str, Preset], **seen: Any) -> Plan[Any]:
    return plan(
        resource,
        factories.observed(presets=presets, claims={"models": {}, "claim-2": {}}, **seen),
        factories.settings(),
        NOW,
    )


def children_of(made: Plan[Any]) -> tuple[Manifest, ...]:
    assert made.children is not None, made.status.conditions
    return made.children


@settings(max_examples=80)
@given(situations())
def test_whatever_is_observed_gives_a_plan_and_equal_inputs_give_equal_plans(
    situation: Situation,
) -> None:
    resource, seen, knobs = situation
    made = plan(resource, seen, knobs, NOW)
    assert made == plan(resource, seen, knobs, NOW)
    assert json.loads(json.dumps(made.children)) == (
        None if made.children is None else list(made.children)
    )
    ready = made.status.conditions[-1]
    assert (ready.type, bool(ready.message)) == ("Ready", ready.status != "True")


@settings(max_examples=60)
@given(situations(), st.randoms(use_true_random=False))
def test_the_order_in_which_things_are_observed_changes_nothing(
    situation: Situation, random: Any
) -> None:
    resource, seen, knobs = situation

    def shuffled(items: Any) -> tuple[Any, ...]:
        return tuple(random.sample(list(items), len(items)))

    unique = {pod["metadata"]["name"]: pod for pod in seen.pods}
    seen = replace(seen, pods=tuple(unique.values()))
    other = replace(
        seen,
        children=shuffled(seen.children),
        pods=shuffled(seen.pods),
        presets=dict(shuffled(seen.presets.items())),
        claims=dict(shuffled(seen.claims.items())),
        progress=dict(shuffled(seen.progress.items())),
    )
    assert plan(resource, seen, knobs, NOW) == plan(resource, other, knobs, NOW)


@settings(max_examples=60)
@given(endpoints())
def test_every_child_is_named_labelled_and_ours(wanted: Wanted) -> None:
    resource, presets = wanted
    children = children_of(planned(resource, presets))
    assert len({key_of(child) for child in children}) == len(children)
    for child in children:
        metadata = child["metadata"]
        assert NAME.fullmatch(metadata["name"])
        assert len(metadata["name"]) <= 63
        assert metadata["namespace"] == resource.metadata.namespace
        assert metadata["labels"][MANAGED_BY] == "puna"
        assert metadata["labels"]["puna.dev/endpoint"] == resource.metadata.name
        for value in metadata["labels"].values():
            assert LABEL.fullmatch(value)
            assert len(value) <= 63


@settings(max_examples=40)
@given(endpoints(), endpoints())
def test_no_change_of_a_spec_moves_a_selector(one: Wanted, other: Wanted) -> None:
    moved = other[0].model_copy(update={"metadata": one[0].metadata})
    before, after = (
        {
            key_of(child): child["spec"]["selector"]
            for child in children_of(planned(resource, presets))
            if "selector" in child.get("spec", {})
        }
        for resource, presets in (one, (moved, other[1]))
    )
    for key in before.keys() & after.keys():
        assert before[key] == after[key]


@settings(max_examples=40)
@given(endpoints())
def test_a_selector_finds_its_own_pods_and_no_others(wanted: Wanted) -> None:
    deployments = [
        child for child in children_of(planned(*wanted)) if child["kind"] == "Deployment"
    ]
    for one, other in product(deployments, deployments):
        selected = one["spec"]["selector"]["matchLabels"].items()
        labels = other["spec"]["template"]["metadata"]["labels"].items()
        assert (selected <= labels) is (one is other)


@settings(max_examples=40)
@given(endpoints())
def test_the_router_and_the_fetcher_read_what_they_are_given(wanted: Wanted) -> None:
    children = children_of(planned(*wanted))
    document = next(child for child in children if child["kind"] == "ConfigMap")["data"]
    config = EndpointConfig.model_validate_json(document[CONFIG_KEY])
    assert config.to_json() == document[CONFIG_KEY]
    for child in children:
        if child["kind"] == "Deployment":
            (fetch,) = child["spec"]["template"]["spec"]["initContainers"]
            arguments = [expand(argument, {"POD_IP": "10.0.0.1"}) for argument in fetch["args"]]
            assert f"--uri={wanted[0].spec.model.uri}" in arguments


@settings(max_examples=50)
@given(endpoints())
def test_every_endpoint_comes_to_rest(wanted: Wanted) -> None:
    resource, presets = wanted
    if resource.spec.model.uri.startswith("pvc") or resource.spec.model.cache is not None:
        return
    cluster = FakeCluster(resource, presets)
    cluster.settle()
    ready = "True" if cluster.pods or resource.spec.external_endpoints else "False"
    assert cluster.condition("Ready")[0] == ready


@given(NAMES, POOL_NAMES, NAMES, POOL_NAMES)
def test_names_of_deployments_do_not_collide_where_a_dash_moves(
    one: str, its_pool: str, other: str, others_pool: str
) -> None:
    def name(endpoint: str, pool: str) -> str:
        process = factories.effective(factories.endpoint(name=endpoint)).process
        return deployment_name(endpoint, pool, process)

    same = (one, its_pool) == (other, others_pool)
    assert (name(one, its_pool) == name(other, others_pool)) is same


def test_names_of_deployments_do_not_collide_in_a_whole_alphabet_of_dashes() -> None:
    parts = ["a", "b", "a-a", "a-b", "b-a", "a-a-a", "a-b-a"]
    names = {
        deployment_name(
            endpoint, pool, factories.effective(factories.endpoint(name=endpoint)).process
        )
        for endpoint in parts
        for pool in parts
    }
    assert len(names) == len(parts) ** 2


@given(st.text("ab-", min_size=60, max_size=80), st.text("ab-", min_size=60, max_size=80))
def test_long_names_keep_their_difference_in_a_digest(one: str, other: str) -> None:
    assert (child_name("x", one) == child_name("x", other)) is (one == other)
    assert len(child_name("x", one)) <= 63


@settings(max_examples=40)
@given(st.lists(endpoints(), min_size=2, max_size=4, unique_by=lambda item: item[0].metadata.name))
def test_children_of_two_endpoints_never_share_a_name(several: list[Wanted]) -> None:
    keys = [
        key_of(child)
        for resource, presets in several
        for child in children_of(
            planned(
                resource.model_copy(
                    update={"metadata": resource.metadata.model_copy(update={"namespace": "team"})}
                ),
                presets,
            )
        )
    ]
    assert len(set(keys)) == len(keys)
