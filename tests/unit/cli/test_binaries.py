from __future__ import annotations

import os
from pathlib import Path

import pytest
from rich.console import Console

from puna_cli.binaries.build import Source, build
from puna_cli.binaries.find import find_binaries
from puna_cli.binaries.go import Go, find_go
from puna_cli.binaries.tools import (
    TOOLS,
    Modules,
    build_command,
    build_environment,
    cache_key,
    go_version,
    is_new_enough,
    linker_flags,
    missing,
)
from puna_cli.bundled import bundled
from puna_cli.errors import CommandError
from puna_cli.report import Step

MODULES = Modules(go_mod="module x\n\nrequire (\n\tk8s.io/kubernetes v1.36.3\n)\n", go_sum="sum")


def step() -> Step:
    return Step(Console(quiet=True), "test")


def executable(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_the_version_is_the_one_that_go_mod_requires() -> None:
    assert MODULES.kubernetes_version == "v1.36.3"
    with pytest.raises(ValueError, match="requires no k8s"):
        _ = Modules(go_mod="module x\n", go_sum="").kubernetes_version


def test_the_repository_pins_kubernetes_1_36() -> None:
    folder = bundled("tools", "hack/tools")
    pinned = Modules((folder / "go.mod").read_text(), (folder / "go.sum").read_text())
    assert pinned.kubernetes_version.startswith("v1.36.")
    assert all(f"\t{tool.package}\n" in pinned.go_mod for tool in TOOLS)


def test_linker_flags_name_version_major_and_minor() -> None:
    flags = linker_flags("v1.36.3")
    assert "-X k8s.io/component-base/version.gitVersion=v1.36.3" in flags
    assert "-X k8s.io/component-base/version.gitMajor=1" in flags
    assert "-X k8s.io/component-base/version.gitMinor=36" in flags


def test_etcd_is_built_under_its_own_name() -> None:
    command = build_command(
        "go", TOOLS[0], version="v1.36.3", modules=Path("m"), out=Path("out/etcd")
    )
    assert command[:4] == ["go", "build", "-C", "m"]
    assert command[-3:] == ["-o", "out/etcd", "go.etcd.io/etcd/server/v3"]


def test_a_build_neither_fetches_another_go_nor_takes_a_foreign_target() -> None:
    environment = build_environment({"GOOS": "plan9", "GOPROXY": "proxy", "HOME": "h"})
    assert environment == {
        "GOPROXY": "proxy",
        "HOME": "h",
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }


@pytest.mark.parametrize(
    "other",
    [
        {"modules": Modules(MODULES.go_mod, "another sum")},
        {"go_version": "go1.27.0"},
        {"platform": "darwin-arm64"},
    ],
)
def test_another_input_is_another_folder(other: dict[str, str]) -> None:
    same = {"modules": MODULES, "go_version": "go1.26.8", "platform": "linux-x86_64"}
    key = cache_key(**same)  # type: ignore[arg-type]
    assert key == cache_key(**same)  # type: ignore[arg-type]
    assert key.startswith("v1.36.3-linux-x86_64-")
    assert key != cache_key(**{**same, **other})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("output", "version", "good"),
    [
        ("go version go1.26.8 linux/amd64\n", "go1.26.8", True),
        ("go version go1.27rc1 darwin/arm64", "go1.27rc1", True),
        ("go version go1.25.9 linux/amd64", "go1.25.9", False),
        ("go version go2.0 linux/amd64", "go2.0", True),
    ],
)
def test_go_is_new_enough_from_1_26_on(output: str, version: str, good: bool) -> None:  # noqa: FBT001
    assert go_version(output) == version
    assert is_new_enough(version) == good


def test_an_old_go_on_path_gives_way_to_the_wheel(tmp_path: Path) -> None:
    executable(tmp_path / "go", "echo go version go1.20.1 linux/amd64")
    found = find_go({"PATH": str(tmp_path)}, tmp_path / "cache")
    assert found.version == "go1.26.6"
    assert found.wheel == tmp_path / "cache" / "go" / "go1.26.6"


def test_a_new_go_on_path_is_taken(tmp_path: Path) -> None:
    command = executable(tmp_path / "go", "echo go version go1.26.8 linux/amd64")
    found = find_go({"PATH": str(tmp_path)}, tmp_path / "cache")
    assert found == Go(command, "go1.26.8")


def test_missing_tools_are_named_in_build_order() -> None:
    assert missing(["kubectl", "etcd", "kube-scheduler"]) == [
        "kube-apiserver",
        "kube-controller-manager",
    ]


def test_a_given_folder_without_a_program_is_refused_by_its_name(tmp_path: Path) -> None:
    for tool in TOOLS:
        if tool.name != "kube-scheduler":
            executable(tmp_path / tool.name, "true")
    with pytest.raises(CommandError, match=r"PUNA_KUBE_BIN=.*: no executable kube-scheduler"):
        find_binaries({"PUNA_KUBE_BIN": str(tmp_path)}, step())
    executable(tmp_path / "kube-scheduler", "true")
    found = find_binaries({"PUNA_KUBE_BIN": str(tmp_path)}, step())
    assert found.path("etcd") == tmp_path / "etcd"


def builder(folder: Path, body: str) -> Source:
    """A Go whose `build` runs a shell script; `$out` is the file to write, `$tool` its name."""
    script = 'while [ "$1" != -o ]; do shift; done; out=$2; tool=$(basename "$out")\n' + body
    return Source(Go(executable(folder / "go", script), "go1.26.8"), folder, "v1.36.3")


def test_a_build_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    source = builder(
        tmp_path,
        'case "$tool" in .kube-scheduler) echo no room; exit 2;; esac\n'
        'echo x > "$out"; chmod +x "$out"',
    )
    folder = tmp_path / "cache" / "key"
    with pytest.raises(CommandError, match="building kube-scheduler failed") as error:
        build(folder, source, os.environ, step())
    said = str(error.value).splitlines()
    assert said[0].endswith(f"(exit status 2); the whole log: {folder.parent / 'key.log'}")
    assert said[1:] == ["no room"]
    assert not folder.exists()


def test_a_second_attempt_keeps_what_the_first_has_finished(tmp_path: Path) -> None:
    built = tmp_path / "built"
    body = f'echo "$tool" >> {built}; echo x > "$out"; chmod +x "$out"'
    broken = builder(tmp_path, f'[ "$tool" = .kube-apiserver ] && exit 1; {body}')
    folder = tmp_path / "cache" / "key"
    with pytest.raises(CommandError):
        build(folder, broken, os.environ, step())
    build(folder, builder(tmp_path, body), os.environ, step())
    assert sorted(path.name for path in folder.iterdir()) == sorted(tool.name for tool in TOOLS)
    assert built.read_text().split() == [f".{tool.name}" for tool in TOOLS]


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "cache"
    blocked.write_text("a file")
    with pytest.raises(CommandError, match="cannot write to"):
        build(blocked / "sub" / "key", builder(tmp_path, "true"), os.environ, step())
