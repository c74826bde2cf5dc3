from __future__ import annotations

from puna_node.config import Profile
from puna_node.fields import Downward
from puna_node.launch import ApiEndpoint, Folders, flag_value, translate
from puna_node.mounts import Mount
from tests.unit.node.pods import container, pod

FOLDERS = Folders(
    home="/p/c/main/home",
    volumes={"models": "/p/v/models", "key": "/p/v/key"},
    termination_log="/p/c/main/1/termination-log",
)


def test_a_container_becomes_a_process_of_this_host() -> None:
    manifest = container(
        args=[
            *("--model", "/models/a/f.gguf", "--host", "$(POD_IP)"),
            *("--api-key-file", "/etc/key/key", "--report=/dev/termination-log"),
        ],
        env=[
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "CACHE", "value": "/models/cache"},
        ],
        ports=[
            {"containerPort": 20001, "name": "http"},
            {"containerPort": 53, "protocol": "UDP"},
        ],
        volumeMounts=[
            {"name": "models", "mountPath": "/models/", "subPath": "sub"},
            {"name": "key", "mountPath": "/etc/key"},
        ],
    )
    launch = translate(
        manifest,
        profile=Profile(image="x", run=("/opt/llama/llama-server", "--jinja")),
        folders=FOLDERS,
        sources={},
        downward=Downward(pod(manifest), "127.77.0.5", "127.0.0.1", {}),
        api=ApiEndpoint("127.0.0.1", 6443),
    )
    assert launch.argv == (
        *("/opt/llama/llama-server", "--jinja"),
        *("--model", "/p/v/models/sub/a/f.gguf", "--host", "127.77.0.5"),
        *("--api-key-file", "/p/v/key/key", "--report=/p/c/main/1/termination-log"),
    )
    assert launch.environment["CACHE"] == "/p/v/models/sub/cache"
    assert launch.environment["PUNA_MOUNT_MODELS"] == "/p/v/models"
    assert launch.environment["PUNA_TERMINATION_LOG"] == "/p/c/main/1/termination-log"
    assert launch.environment["KUBERNETES_SERVICE_HOST"] == "127.0.0.1"
    assert launch.environment["KUBERNETES_SERVICE_PORT"] == "6443"
    assert launch.environment["PATH"].startswith("/opt/llama:")
    assert launch.environment["PYTHONSAFEPATH"] == "1"
    assert launch.ports == (20001,)
    assert launch.directory == "/p/c/main/home"
    assert launch.mounts[0] == Mount("/models", "/p/v/models/sub")


def test_what_is_a_path_of_this_host_already_is_not_rewritten_again() -> None:
    home = "/tmp" + "/short/home"
    manifest = container(
        args=["$(HOME)/a", "/tmp", "$(LOG)"],
        env=[
            {"name": "LOG", "value": "/tmp" + "/log"},
            {"name": "DERIVED", "value": "$(PUNA_MOUNT_TMP)/x:$(HOME)"},
        ],
        volumeMounts=[{"name": "tmp", "mountPath": "/tmp"}],
    )
    target = "/tmp" + "/short/v/tmp"
    launch = translate(
        manifest,
        profile=Profile(image="x", run=("/bin/x",)),
        folders=Folders(home=home, volumes={"tmp": target}, termination_log="/t"),
        sources={},
        downward=Downward(pod(manifest), "127.77.0.5", "127.0.0.1", {}),
        api=ApiEndpoint("127.0.0.1", 6443),
    )
    assert launch.argv == ("/bin/x", f"{home}/a", target, f"{target}/log")
    assert launch.environment["DERIVED"] == f"{target}/x:{home}"
    assert launch.environment["TMPDIR"] == target


def test_the_last_of_repeated_flags_counts() -> None:
    assert flag_value(["--port", "1", "--port", "2"], "--port") == "2"
    assert flag_value(["--port"], "--port") is None
