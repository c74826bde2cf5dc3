"""Keys as their users meet them: `puna key`, an OpenAI client, and the end of a key."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from tests.cluster import eventually
from tests.e2e.stage import Stage

ACCESS = {"apiKeySecretRef": {"name": "api-keys"}}


def puna_key(stage: Stage, *arguments: str) -> Any:
    """Output of one `puna key` command, as a program reads it."""
    done = stage.cluster.puna("key", *arguments, f"--namespace={stage.namespace}", "--output=json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def client(stage: Stage, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{stage.url}/v1", api_key=key, max_retries=0)


def answer(stage: Stage, key: str) -> str | None:
    with client(stage, key) as asking:
        completion = asking.chat.completions.create(
            model="chat", messages=[{"role": "user", "content": "hello"}], max_tokens=4
        )
    return completion.choices[0].message.content


def is_refused(stage: Stage, key: str) -> bool:
    try:
        answer(stage, key)
    except openai.AuthenticationError:
        return True
    return False


def test_a_key_from_its_making_to_its_end(stage: Stage) -> None:
    stage.apply(stage.endpoint(access=ACCESS))
    condition = stage.wait_condition("chat", "ResolvedRefs", "SecretNotFound")
    assert "`puna key create` makes it" in condition["message"]

    made = puna_key(stage, "create", "alice", "--endpoint=chat", "--expires=30d")
    assert made["usedBy"] == ["chat"]
    secret = stage.kubectl("get", "secret", "api-keys", "-o=json")
    assert made["key"] not in secret
    stage.wait_ready()
    eventually(lambda: not is_refused(stage, made["key"]))
    assert answer(stage, made["key"])
    with pytest.raises(openai.AuthenticationError, match="this is no API key of chat"):
        answer(stage, "none")

    said = stage.cluster.puna(
        "chat", f"--namespace={stage.namespace}", f"--key={made['key']}", "--max-tokens=4",
        "chat", "hello",
    )  # fmt: skip
    assert said.returncode == 0, said.stderr

    rotated = puna_key(stage, "rotate", "alice", "--overlap=1h")
    assert (rotated["name"], rotated["replaces"]) == ("alice-2", "alice")
    eventually(lambda: not is_refused(stage, rotated["key"]))
    assert answer(stage, made["key"])

    puna_key(stage, "revoke", "alice")
    eventually(lambda: is_refused(stage, made["key"]))
    assert answer(stage, rotated["key"])
    (left,) = puna_key(stage, "list")["keys"]
    assert (left["name"], left["state"], left["endpoints"]) == ("alice-2", "active", ["chat"])


def test_two_people_at_once_lose_nothing(stage: Stage) -> None:
    names = [f"user-{number}" for number in range(6)]

    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda name: puna_key(stage, "create", name), names))
    assert len({item["key"] for item in made}) == 6
    kubeconfig = f"--kubeconfig={stage.cluster.kubeconfig}"
    assert [item["name"] for item in puna_key(stage, "list", kubeconfig)["keys"]] == names
    done = stage.cluster.puna("key", "create", "user-1", f"--namespace={stage.namespace}")
    assert (done.returncode, done.stdout) == (1, "")
    assert "`puna key rotate user-1` replaces it" in done.stderr
