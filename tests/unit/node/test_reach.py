from __future__ import annotations

from ipaddress import ip_network

import pytest

from puna_node.config import Profile
from puna_node.fields import Downward
from puna_node.launch import ApiEndpoint, Folders, translate
from puna_node.reach import Reach, reach_of, refused
from tests.unit.node.pods import IMAGE, container, pod

REACH = Reach(
    folders=("/p/home", "/p/v/models", "/p/v/run", "/srv/models"),
    scratch=("/p/v/run",),
    networks=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
)
ANY = Profile(image="any", run=("/bin/any",))
ROUTER = Profile(
    image="router",
    run=("/bin/python", "-P", "-m", "puna_router"),
    flags=("--directory", "--port", "--api-key-file"),
    scratch_flags=("--directory",),
)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--destination=/srv/models/a.gguf", "--ca-file", "/p/v/models/ca.crt"],
        ["--uri=file:///etc/passwd", "--uri", "hf://org/model/file.gguf@main"],
        ["--uri=https://host.test/a?path=/etc/x", "org/model", "text with /etc/x in it"],
        ["-c", "X=1; cat ../x", "..data", "a..b"],
        ["--allow-network=10.1.0.0/16", "--allow-network", "fd00:1::/32"],
    ],
)
def test_what_lies_in_the_pods_folders_and_networks_is_allowed(arguments: list[str]) -> None:
    assert refused(arguments, ANY, REACH) is None


@pytest.mark.parametrize(
    "argument",
    [
        *("/etc/passwd", "--destination=/etc/x", "--ca-file=/srv/models/../../etc/x", "//etc/x"),
        *("../other/home/x", "..", "--record-directory=a/../../x", "config=/etc/x", "/srv/modelsX"),
        "--ca-file=a://../../../etc/x",
    ],
)
def test_paths_outside_them_are_refused(argument: str) -> None:
    assert (
        refused(["serve", argument], ANY, REACH) == f"args: {argument} is outside the Pod's volumes"
    )


@pytest.mark.parametrize(
    "network", ["10.0.0.0/7", "127.0.0.0/8", "0.0.0.0/0", "::/0", "10.0.0.1/8", "localhost", ""]
)
@pytest.mark.parametrize("words", [["--allow-network={}"], ["--allow-network", "{}"]])
def test_networks_are_the_node_owners_to_allow(network: str, words: list[str]) -> None:
    arguments = [word.format(network) for word in words]
    assert refused(arguments, ANY, REACH) == (
        f"args: {arguments[0]}: {network} is not among the networks allowed on this node"
    )
    assert refused(["--allow-network=10.0.0.0/8"], ANY, Reach((), (), ())) is not None


@pytest.mark.parametrize(
    "argument", ["--envoy=sh", "--envoy", "--env", "--kubeconfig=/p/v/models/k", "--dir=/x", "--"]
)
def test_flags_beside_those_of_the_profile_are_refused(argument: str) -> None:
    assert refused(["serve", "--port=1", argument], ROUTER, REACH) == (
        f"args: {argument} is not among the flags of router allowed on this node"
    )


def test_what_is_run_from_a_folder_is_not_brought_along() -> None:
    assert refused(["envoy", "--directory=/p/v/run"], ROUTER, REACH) is None
    for words in (["--directory=/p/v/models"], ["--directory", "/p/v/models"]):
        assert refused(["envoy", *words], ROUTER, REACH) == (
            f"args: {words[0]}: /p/v/models has to lie in an emptyDir volume of the Pod"
        )
    assert refused(["envoy", "--directory=run"], ROUTER, REACH) is not None


def test_a_llama_server_is_judged_by_its_flags() -> None:
    llama = Profile(image=IMAGE, run=("/bin/llama-server",), drain_slots=True)
    assert refused(["--chat-template", "/etc/x"], llama, REACH) is None
    assert refused(["--rpc", "10.0.0.1:1"], llama, REACH) is not None


def test_a_container_reaches_what_it_mounts() -> None:
    manifest = container(
        volumeMounts=[
            {"name": "run", "mountPath": "/run/puna"},
            {"name": "key", "mountPath": "/etc/key", "subPath": "sub"},
        ]
    )
    owner = pod(
        manifest,
        volumes=[
            {"name": "run", "emptyDir": {}},
            {"name": "key", "secret": {"secretName": "key"}},
            {"name": "other", "emptyDir": {}},
        ],
    )
    folders = Folders(
        home="/p/home",
        volumes={"run": "/p/v/run", "key": "/p/v/key", "other": "/p/v/other"},
        termination_log="/p/log",
    )
    launch = translate(
        manifest,
        profile=ANY,
        folders=folders,
        sources={},
        downward=Downward(owner, "127.77.0.5", "127.0.0.1", {}),
        api=ApiEndpoint("127.0.0.1", 6443),
    )
    found = reach_of(
        owner, manifest, launch, folders=folders, host_paths=("/srv/models",), networks=()
    )
    assert set(found.folders) == {
        *("/p/home", "/p/v/run", "/p/v/key/sub", "/p/log", "/p/v/key", "/srv/models")
    }
    assert found.scratch == ("/p/v/run",)
