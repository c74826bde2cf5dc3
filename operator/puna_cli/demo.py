"""`puna demo`: from nothing to a streamed answer, each step with its time."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from puna_cli.bundled import bundled
from puna_cli.chat.ask import Answer, ask
from puna_cli.cluster.api import LocalApi
from puna_cli.cluster.settle import UpOptions
from puna_cli.cluster.up import Cluster, up
from puna_cli.errors import CommandError
from puna_cli.model import TERMS, ensure_model, place
from puna_cli.paths import models_folder
from puna_cli.report import Report, Step

EXAMPLE = "01-first-endpoint"
NAMESPACE = "default"
ENDPOINT = "chat"
CLAIM = "models"
READY_SECONDS = 180.0
HOPELESS_SECONDS = 30.0
"""How long an endpoint may say that it makes no progress before the demo believes it."""
POLL_SECONDS = 0.1
PROMPT = "Write two sentences about the sea."
MAX_TOKENS = 96


def demo(options: UpOptions, environment: Mapping[str, str], report: Report) -> None:
    """Run the demonstration and say how to go on.

    Raises:
        CommandError: a step failed; says which, and why.
    """
    began = time.monotonic()
    cluster = up(options, environment, report)
    with report.step("Model file") as step:
        model = ensure_model(models_folder(environment), step)
        place(model, cluster.paths.volumes / NAMESPACE / CLAIM)
        step.result = str(model)
    with report.step(f"Apply examples/{EXAMPLE}") as step:
        example = bundled(f"examples/{EXAMPLE}", f"examples/{EXAMPLE}")
        said = cluster.kubectl.run("apply", "-f", str(example / "endpoint.yaml"))
        step.result = ", ".join(said.split("\n")[:-1])
    with report.step(f"LLMEndpoint {ENDPOINT} Ready") as step:
        wait_ready(cluster, report, step)
    report.line()
    report.line(f"[bold]{PROMPT}[/bold]")
    answer = _ask(cluster, report)
    report.line()
    report.line(
        f"[green]ok[/green]     Answered through {cluster.state.front}: "
        f"{answer.measured.sentence()}"
    )
    report.line(f"[green]ok[/green]     All of it [dim]{time.monotonic() - began:.1f} s[/dim]")
    report.line()
    for line in go_on(cluster):
        report.text(line)


def wait_ready(cluster: Cluster, report: Report, step: Step) -> None:
    """Wait until the endpoint is Ready; each change of its conditions is shown.

    Raises:
        CommandError: it is not within three minutes; with every condition.
    """
    path = f"/apis/puna.dev/v1alpha1/namespaces/{NAMESPACE}/llmendpoints/{ENDPOINT}"
    deadline = time.monotonic() + READY_SECONDS
    hopeless = deadline
    shown: list[str] = []
    with LocalApi(cluster.paths, cluster.state.server) as api:
        while True:
            endpoint = api.get(path) or {}
            conditions = current_conditions(endpoint)
            if conditions.get("Ready", {}).get("status") == "True":
                return
            story = [describe(condition) for condition in conditions.values()]
            for line in story:
                if line not in shown:
                    report.text(f"          {step.seconds:4.1f} s  {line}")
            shown = story
            if not is_stuck(conditions):
                hopeless = deadline
            elif hopeless == deadline:
                hopeless = min(deadline, time.monotonic() + HOPELESS_SECONDS)
            if time.monotonic() > hopeless:
                raise CommandError(
                    f"LLMEndpoint {ENDPOINT} is not Ready after {step.seconds:.0f} s:\n"
                    + "\n".join(story or ["  it has no conditions: does the operator run?"])
                )
            step.note(next(iter(reversed(story)), "waiting for the operator"))
            time.sleep(POLL_SECONDS)


def current_conditions(endpoint: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Conditions by type; none that speak of a former generation."""
    generation = endpoint.get("metadata", {}).get("generation")
    conditions: Sequence[Mapping[str, Any]] = endpoint.get("status", {}).get("conditions", [])
    return {c["type"]: c for c in conditions if c.get("observedGeneration") == generation}


def is_stuck(conditions: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the operator says that waiting alone does not help."""
    return any(
        conditions.get(name, {}).get("status") == "False"
        for name in ("Accepted", "ResolvedRefs", "Progressing")
    )


def describe(condition: Mapping[str, Any]) -> str:
    """One condition in one line."""
    message = condition.get("message")
    told = f": {message}" if message else ""
    return f"{condition['type']}={condition['status']} {condition['reason']}{told}"


def _ask(cluster: Cluster, report: Report) -> Answer:
    def show(piece: str) -> None:
        report.console.print(piece, end="", markup=False, highlight=False, soft_wrap=True)

    url = f"{cluster.state.front}/namespaces/{NAMESPACE}/v1"
    answer = ask(url, ENDPOINT, [{"role": "user", "content": PROMPT}], show, max_tokens=MAX_TOKENS)
    report.line()
    if not answer.text.strip():
        raise CommandError(f"{url}: the answer holds no text")
    return answer


def go_on(cluster: Cluster) -> list[str]:
    """What to do next."""
    puna = command_name(os.environ, sys.executable)
    name = "" if cluster.state.name == UpOptions().name else f" --name {cluster.state.name}"
    return [
        "Go on:",
        f"  {puna} chat{name} {ENDPOINT}",
        f"  {puna} kubectl{name} get llme,pods",
        f"  export KUBECONFIG={cluster.paths.kubeconfig}",
        f"  export OPENAI_BASE_URL={cluster.state.front}/v1 OPENAI_API_KEY=none",
        "Stop:",
        f"  {puna} down{name}",
        "",
        TERMS,
    ]


def command_name(environment: Mapping[str, str], python: str) -> str:
    """How the user calls this command: by name, or by path where PATH does not lead to it."""
    beside = Path(python).with_name("puna")
    found = shutil.which("puna", path=environment.get("PATH"))
    if found is not None and Path(found).resolve() == beside.resolve():
        return "puna"
    here = Path.cwd()
    return str(beside.relative_to(here) if beside.is_relative_to(here) else beside)
