from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from puna_node.kubeconfig import KubeconfigError, load_access


def kubeconfig(folder: Path, user: dict[str, Any], server: str = "http://127.0.0.1:8001") -> Path:
    path = folder / "kubeconfig"
    document = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(json.dumps(document))
    return path


def test_access_is_read(tmp_path: Path) -> None:
    access = load_access(kubeconfig(tmp_path, {"token": "t"}))
    assert (access.host, access.port, access.token, access.tls) == ("127.0.0.1", 8001, "t", None)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="No such file"):
        load_access(tmp_path / "absent")
    with pytest.raises(KubeconfigError, match="credential plugins"):
        load_access(kubeconfig(tmp_path, {"exec": {}}))
    path = kubeconfig(tmp_path, {})
    path.write_text(path.read_text().replace('"current-context": "c"', '"current-context": "d"'))
    with pytest.raises(KubeconfigError, match="contexts: no entry d"):
        load_access(path)
