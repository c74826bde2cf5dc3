"""Build the container images: `python -m hack.images [NAME ...]`, with docker, podman or buildah.

Bases are pinned by tag in the Dockerfiles; a release passes them by digest, for example
`--build-arg PYTHON_IMAGE=docker.io/library/python@sha256:...`. Needs nothing but Python.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
REGISTRY: Final = "ghcr.io/puna-dev"
ENGINES: Final = ("docker", "podman", "buildah")
LLAMA_CPP: Final = "b11206"
"""Build of llama.cpp; the default of its Dockerfile's base too."""


@dataclass(frozen=True, slots=True)
class Image:
    """One image and what it is built from."""

    name: str
    folder: str
    variant: str = ""
    """Appended to the tag."""
    arguments: tuple[str, ...] = ()
    """Build arguments of the variant."""

    def reference(self, registry: str, version: str) -> str:
        """Return the full name of the image."""
        return f"{registry}/{self.name}:{version}{self.variant}"


IMAGES: Final = (
    Image("puna", "operator"),
    Image("router", "router"),
    Image("llama-server", "llama-server", "-cpu"),
    Image(
        "llama-server",
        "llama-server",
        "-cuda",
        (f"LLAMA_CPP_IMAGE=ghcr.io/ggml-org/llama.cpp:server-cuda-{LLAMA_CPP}",),
    ),
    Image("trainer", "trainer", "-cpu"),
    Image("trainer", "trainer", "-cuda"),
)


def version() -> str:
    """Return the version of the project, which tags the images."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def build_command(
    engine: str, image: Image, reference: str, given: Sequence[str], options: Sequence[str] = ()
) -> list[str]:
    """Return the argument vector that builds one image; arguments given by hand win."""
    arguments = [f"--build-arg={argument}" for argument in (*image.arguments, *given)]
    dockerfile = f"images/{image.folder}/Dockerfile"
    verb = "bud" if engine == "buildah" else "build"
    return [engine, verb, *options, f"--file={dockerfile}", f"--tag={reference}", *arguments, "."]


def working_engine() -> str | None:
    """Return the first engine that answers; docker's client alone does not."""
    for engine in ENGINES:
        if shutil.which(engine) is None:
            continue
        answer = subprocess.run([engine, "version"], capture_output=True, check=False, timeout=60)
        if answer.returncode == 0:
            return engine
    return None


def main() -> int:
    """Build what the command line names."""
    known = sorted({image.name for image in IMAGES})
    parser = argparse.ArgumentParser(prog="python -m hack.images", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; all")
    parser.add_argument("--registry", default=REGISTRY)
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--option", action="append", default=[], help="option of the engine")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(known))
    if unknown:
        parser.error(f"{unknown[0]!r} is none of {', '.join(known)}")
    engine = working_engine()
    if engine is None:
        sys.stderr.write(
            f"images: no container engine answers (tried {', '.join(ENGINES)}); "
            "start docker, or install podman or buildah\n"
        )
        return 1
    for image in IMAGES:
        if options.names and image.name not in options.names:
            continue
        reference = image.reference(options.registry, version())
        sys.stdout.write(f"{reference}\n")
        sys.stdout.flush()
        command = build_command(engine, image, reference, options.build_arg, options.option)
        done = subprocess.run(command, cwd=ROOT, check=False)
        if done.returncode != 0:
            sys.stderr.write(f"images: {' '.join(command)} failed\n")
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
