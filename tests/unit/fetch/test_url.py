from __future__ import annotations

import pytest

from puna_fetch.url import may_see_credentials, parse_url, redirected


def test_an_address_is_shown_without_its_query() -> None:
    url = parse_url("https://Host.example:8443/a b/x.gguf?X-Signature=secret#part")
    assert url.target == "/a%20b/x.gguf?X-Signature=secret"
    assert str(url) == "https://host.example:8443/a%20b/x.gguf?..."
    assert str(parse_url("http://[2001:db8::1]/x")) == "http://[2001:db8::1]/x"
    assert parse_url("http://[2001:db8::1]/x").authority == "[2001:db8::1]"


@pytest.mark.parametrize(
    "text",
    [
        "ftp://host/x",
        "//host/x",
        "http://",
        "http://user:secret@host/x",
        "http://host:99999/x",
        "http://" + "a" * 300 + "/x",
        "http://host/" + "x" * 9000,
        "http://ho st/x",
    ],
)
def test_an_address_of_another_form_is_refused_without_its_secret(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_url(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/b?x=1", "https://one.example/b?..."),
        ("c", "https://one.example/a/c"),
        ("//two.example/d", "https://two.example/d"),
        ("https://two.example:444/e", "https://two.example:444/e"),
    ],
)
def test_a_redirect_leads_where_it_says(location: str, expected: str) -> None:
    assert str(redirected(parse_url("https://one.example/a/b"), location)) == expected


@pytest.mark.parametrize("location", ["http://one.example/", "file:///etc/passwd"])
def test_a_redirect_to_less_safety_is_refused(location: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        redirected(parse_url("https://one.example/a"), location)


@pytest.mark.parametrize(
    ("origin", "url", "expected"),
    [
        ("https://a.example/x", "https://a.example/y", True),
        ("https://a.example/x", "https://b.example/y", False),
        ("https://a.example/x", "https://a.example:444/y", False),
        ("http://a.example/x", "https://a.example/y", True),
        ("http://a.example:8080/x", "https://a.example/y", False),
        ("https://a.example/x", "https://sub.a.example/y", False),
    ],
)
def test_credentials_go_to_their_own_server(origin: str, url: str, *, expected: bool) -> None:
    assert may_see_credentials(parse_url(origin), parse_url(url)) == expected
