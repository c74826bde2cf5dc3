"""lua/sha256.lua against Python's, inside the real Envoy."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from random import Random

from tests.router.lua_program import lua_function

KNOWN = {
    b"": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    b"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": (
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    b"a" * 100_000: "6d1cf22d7cc09b085dfc25ee1a1f3ae0265804c607bc2074ad253bcc82fd81ee",
}


def test_digests_are_those_of_the_standard(tmp_path: Path) -> None:
    random = Random(256)
    # Every length around the end of a block, where padding takes one more.
    texts = [random.randbytes(length) for length in range(1, 140)]
    with lua_function(tmp_path, ("json", "sha256"), "sha256(text)") as client:
        for text, digest in KNOWN.items():
            assert client.post("/", content=text).text == digest
        for text in texts:
            assert client.post("/", content=text).text == sha256(text).hexdigest()
