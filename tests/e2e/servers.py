"""What llama-servers and routers say of themselves, read beside the router."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import httpx

from puna_router.config import CONTROL_PORT, RouterState
from tests.e2e.objects import Manifest
from tests.e2e.stage import Stage


@dataclass(frozen=True, slots=True)
class Servers:
    """The llama-servers of one LLMEndpoint; they answer only who has the key."""

    stage: Stage
    key: str

    def slots(self, pod: Manifest) -> list[dict[str, Any]]:
        """`/slots` of one server."""
        port = pod["spec"]["containers"][0]["ports"][0]["containerPort"]
        answer = httpx.get(
            f"http://{pod['status']['podIP']}:{port}/slots",
            headers={"authorization": f"Bearer {self.key}"},
            timeout=5,
            trust_env=False,
        )
        slots: list[dict[str, Any]] = answer.raise_for_status().json()
        return slots

    def seeds(self, pod: Manifest) -> set[int]:
        """Seeds of the requests that a server works on."""
        return {
            int(slot["params"]["seed"])
            for slot in self.slots(pod)
            if slot.get("is_processing") and "params" in slot
        }


def router_state(stage: Stage) -> RouterState:
    """`/state` of the namespace's router."""
    address = stage.router_pods()[0]["status"]["podIP"]
    answer = httpx.get(f"http://{address}:{CONTROL_PORT}/state", timeout=5, trust_env=False)
    return RouterState.model_validate_json(answer.raise_for_status().content)


def healthy_pods(stage: Stage, endpoint: str = "chat") -> set[str]:
    """Names of the Pods that the router sends requests to."""
    state = router_state(stage).endpoints.get(endpoint)
    return {item.pod or "" for item in state.backends if item.healthy} if state else set()


def wait_excluded(stage: Stage, pod: str, *, endpoint: str = "chat", seconds: float) -> float:
    """Wait until a Pod gets no requests any more; returns how long it took, in seconds."""
    return _wait(stage, pod, endpoint, seconds, wanted=False)


def wait_included(stage: Stage, pod: str, *, endpoint: str = "chat", seconds: float) -> float:
    """Wait until a Pod gets requests; returns how long it took, in seconds."""
    return _wait(stage, pod, endpoint, seconds, wanted=True)


def _wait(stage: Stage, pod: str, endpoint: str, seconds: float, *, wanted: bool) -> float:
    address = stage.router_pods()[0]["status"]["podIP"]
    began = time.monotonic()
    with httpx.Client(timeout=5, trust_env=False) as client:
        while True:
            answer = client.get(f"http://{address}:{CONTROL_PORT}/state").raise_for_status()
            state = RouterState.model_validate_json(answer.content).endpoints[endpoint]
            healthy = {item.pod for item in state.backends if item.healthy}
            if (pod in healthy) is wanted:
                return time.monotonic() - began
            assert time.monotonic() - began < seconds, f"{pod}: {state}"
            time.sleep(0.02)
