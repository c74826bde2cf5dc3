from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hack.images import IMAGES, LLAMA_CPP, REGISTRY, build_command, version
from puna.api.pool import Accelerator
from puna.core.pod_security import USER
from puna.settings import Settings
from tests.charts.helm import CHART

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted((ROOT / "images").glob("*/Dockerfile"))


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """Return instruction and argument of every step, continuation lines joined."""
    text = re.sub(r"(?m)^\s*#.*\n", "", dockerfile.read_text()).replace("\\\n", " ")
    lines = (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    return [(name, " ".join(argument.split())) for name, argument in lines]


def test_every_image_has_a_dockerfile_and_every_dockerfile_an_image() -> None:
    assert {image.folder for image in IMAGES} == {path.parent.name for path in DOCKERFILES}


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_every_base_is_a_build_argument_with_a_pinned_default(dockerfile: Path) -> None:
    steps = instructions(dockerfile)
    defaults = dict(argument.split("=", 1) for name, argument in steps if name == "ARG")
    for base in (argument.split()[0] for name, argument in steps if name == "FROM"):
        tag = defaults[base.removeprefix("${").removesuffix("}")].rpartition(":")[2]
        assert re.search(r"\d", tag)
        assert "latest" not in tag


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_an_image_runs_as_a_user_that_has_a_number_and_an_entry(dockerfile: Path) -> None:
    steps = instructions(dockerfile)
    assert [argument for name, argument in steps if name == "USER"] == [f"{USER}:{USER}"]
    assert any(f"puna:x:{USER}:{USER}:" in argument for name, argument in steps if name == "RUN")
    assert isinstance(json.loads(dict(steps)["ENTRYPOINT"]), list)


def test_the_operator_runs_the_images_that_are_built() -> None:
    built = {image.reference(REGISTRY, version()) for image in IMAGES}
    settings = Settings()
    profiles = [settings.accelerators[kind] for kind in (Accelerator.CPU, Accelerator.CUDA)]
    used = {settings.fetch_image, settings.router.image} | {
        image for profile in profiles for image in (profile.image, profile.trainer_image)
    }
    assert used == built


def test_chart_and_images_carry_the_version_of_the_project() -> None:
    chart = (CHART / "Chart.yaml").read_text()
    assert f"\nversion: {version()}\n" in chart
    assert f"\nappVersion: {version()}\n" in chart


def test_the_default_llama_server_is_the_pinned_build() -> None:
    steps = dict(instructions(ROOT / "images/llama-server/Dockerfile"))
    assert steps["ARG"].endswith(f":server-{LLAMA_CPP}")


def test_an_argument_given_by_hand_comes_last_and_wins() -> None:
    (cuda,) = (image for image in IMAGES if image.arguments)
    command = build_command("docker", cuda, "name", ["LLAMA_CPP_IMAGE=mine"])
    given = [argument for argument in command if argument.startswith("--build-arg=")]
    assert given[-1] == "--build-arg=LLAMA_CPP_IMAGE=mine"
    assert len(given) == 2
