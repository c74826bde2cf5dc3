from __future__ import annotations

from base64 import b64decode

import pytest

from puna.core.plan import Manifest
from puna.namespace.backend_key import build_backend_key
from tests.factories import NAMESPACE


@pytest.mark.parametrize("existing", [None, {}, {"data": {}}, {"data": {"other": "eA=="}}])
def test_a_namespace_without_a_key_gets_a_fresh_one(existing: Manifest | None) -> None:
    secret = build_backend_key(NAMESPACE, existing=existing, fresh_key="fresh")
    assert b64decode(secret["data"]["key"]) == b"fresh"


def test_a_key_stays_as_it_is() -> None:
    existing = {"data": {"key": "b2xk"}}
    secret = build_backend_key(NAMESPACE, existing=existing, fresh_key="fresh")
    assert secret["data"] == {"key": "b2xk"}
