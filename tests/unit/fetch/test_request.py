from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from puna_fetch.config import FetchRequest
from puna_fetch.request import parse_request

WORD = st.text("abcdefgh-=. \"'$()%", min_size=1, max_size=12)
PATH = WORD.map(lambda word: "/models/" + word)
NETWORKS = st.lists(st.sampled_from(["10.0.0.0/8", "fd00::/8"]), max_size=2).map(tuple)
REQUESTS = st.builds(
    FetchRequest,
    uri=st.tuples(st.sampled_from(["https://", "hf://", "file://"]), WORD).map("".join),
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    destination=PATH,
    credentials_directory=st.none() | PATH,
    ca_file=st.none() | PATH,
    allowed_networks=NETWORKS,
    record_directory=st.none() | PATH,
    max_bytes=st.none() | st.integers(1, 2**50),
)


def as_path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


@given(REQUESTS)
def test_what_the_operator_renders_is_what_the_program_reads(wanted: FetchRequest) -> None:
    read = parse_request(wanted.to_args())
    assert read.uri == wanted.uri
    assert read.sha256 == wanted.sha256
    assert read.destination == Path(wanted.destination)
    assert read.credentials_directory == as_path(wanted.credentials_directory)
    assert read.ca_file == as_path(wanted.ca_file)
    assert read.allowed_networks == wanted.allowed_networks
    assert read.record_directory == as_path(wanted.record_directory)
    assert read.max_bytes == wanted.max_bytes


def test_no_field_of_the_request_is_left_out() -> None:
    # A new field fails here until the test above compares it.
    assert set(FetchRequest.model_fields) == {
        "uri",
        "sha256",
        "destination",
        "credentials_directory",
        "ca_file",
        "allowed_networks",
        "record_directory",
        "max_bytes",
    }
