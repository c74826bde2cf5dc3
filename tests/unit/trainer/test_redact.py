"""What is replaced in a text, and what is left alone."""

from __future__ import annotations

import string
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puna_trainer.data.redact import Kind, is_card, redact

FOUND = [
    ("write to ada.lovelace+x@mail.example.co.uk.", "write to <EMAIL>."),
    ("<ada@example.org>, bob@example.org", "<<EMAIL>>, <EMAIL>"),
    ("mailto:ada_1@example.museum?subject=x", "mailto:<EMAIL>?subject=x"),
    ("card 4111 1111 1111 1111, or 5500-0000-0000-0004", "card <CARD>, or <CARD>"),
    ("378282246310005, 3782 822463 10005", "<CARD>, <CARD>"),
    ("from 8.8.8.8:53 to 192.168.7.21", "from <IP>:53 to <IP>"),
    ("[2001:db8::8a2e:370:7334]:443, fe80::1", "[<IP>]:443, <IP>"),
    ("call +1 415 555 2671 or (415) 555-2671", "call <PHONE> or <PHONE>"),
    ("+49 (0)30 901820, 030 90182 0123, 415-555-2671", "<PHONE>, <PHONE>, <PHONE>"),
    ("key = AKIAIOSFODNN7EXAMPLE", "key = <KEY>"),
    ('api_key: "0123456789abcdefABCDEF"', 'api_key: "<KEY>"'),
    ("PASSWORD='correct1horse2battery3'", "PASSWORD='<KEY>'"),
    ("token ghp_" + "aB3" * 12, "token <KEY>"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4", "<KEY>"),
    (
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq\n-----END RSA PRIVATE KEY-----\nx",
        "<KEY>\nx",
    ),
]
LEFT = [
    "@property\ndef f(self): return a @ b",
    "x = self.weight@other",
    "127.0.0.1, 0.0.0.0, 255.255.255.0 and 224.0.0.1 are nobody's",
    "version 1.2.3, 1.2.3.4.5, 300.1.1.1",
    "std::vector, a::b, dead::beef, x[1::2], 12:30:45, aa:bb:cc:dd:ee:ff",
    "4111 1111 1111 1112 has a wrong digit, 0000000000000000 too",
    "2026-01-31 12:00:00, 3.14159265358979, 1234567890, 0x1234567890123456",
    "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    'password = getpass("Password: ")',
    'token = "{{ .Values.token.from.elsewhere }}"',
    'secret: "xxxxxxxxxxxxxxxxxxxxxxxx"',
    "26 27 28 29 30 31         26 27 28 29 30 31",
    "range(1000, 2000) + [100, 200, 3000]",
    "+1, +12, -5 and 1+2345",
]


@pytest.mark.parametrize(("text", "redacted"), FOUND)
def test_what_has_the_form_is_replaced_by_the_name_of_its_kind(text: str, redacted: str) -> None:
    assert redact(text).text == redacted


@pytest.mark.parametrize("text", LEFT)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert redact(text).text == text


@given(st.text())
def test_a_second_time_changes_nothing(text: str) -> None:
    once = redact(text).text
    assert redact(once).text == once


@given(st.text(alphabet=string.ascii_letters + " \n.,;'éß漢"))
def test_plain_words_are_left_alone(text: str) -> None:
    assert redact(text).text == text


@given(st.text())
def test_finds_say_where_their_names_stand(text: str) -> None:
    redacted = redact(text)
    for find in redacted.finds:
        assert redacted.text[find.position :].startswith(f"<{find.kind}>")
    names = sum(len(find.kind) + 2 for find in redacted.finds)
    assert len(redacted.text) == len(text) + names - sum(find.length for find in redacted.finds)


NAMES = st.from_regex(r"[a-z][a-z0-9._+-]{0,20}[a-z0-9]", fullmatch=True)
HOSTS = st.from_regex(r"([a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?\.){1,3}[a-z]{2,6}", fullmatch=True)
AROUND = st.sampled_from([" ", "\n", "(", ")", "<", ">", "'", '"', ",", ";", "|", "漢"])


@given(AROUND, NAMES, HOSTS, AROUND)
def test_every_address_of_email_is_found(before: str, name: str, host: str, after: str) -> None:
    redacted = redact(f"{before}{name}@{host}{after}")
    assert redacted.text == f"{before}<EMAIL>{after}"


def with_check_digit(digits: str) -> str:
    return next(digits + last for last in "0123456789" if luhn(digits + last))


def luhn(digits: str) -> bool:
    total = 0
    for place, character in enumerate(reversed(digits)):
        value = int(character) * (1 + place % 2)
        total += value // 10 + value % 10
    return total % 10 == 0


@given(st.from_regex(r"[3-6][0-9]{11,17}", fullmatch=True), st.sampled_from(["", " ", "-"]))
def test_every_card_number_is_found_and_no_other(digits: str, separator: str) -> None:
    number = with_check_digit(digits)
    written = separator.join(number[start : start + 4] for start in range(0, len(number), 4))
    assert redact(f"no. {written}.").text == "no. <CARD>."
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert not is_card(wrong)
    assert Kind.CARD not in {find.kind for find in redact(f"no. {wrong}.").finds}


@given(st.ip_addresses(v=4), AROUND)
def test_every_public_address_is_found(address: IPv4Address, around: str) -> None:
    is_machine = address.is_global and not address.is_multicast
    if is_machine and not str(address).endswith(".0.0.0"):
        assert redact(f"{around}{address}{around}").text == f"{around}<IP>{around}"


@given(st.from_regex(r"\+[1-9][0-9]{9,13}", fullmatch=True), AROUND)
def test_every_international_number_is_found(number: str, around: str) -> None:
    assert redact(f"{around}{number}{around}").text == f"{around}<PHONE>{around}"


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "a.",
        "1",
        "1 ",
        "1.",
        "a@",
        "a.a@a.",
        "+1",
        ":1",
        "(0",
        "eyJ",
        "-----BEGIN PRIVATE KEY-----",
        "token='",
        "é",
    ],
)
def test_a_long_text_of_almost_something_takes_no_time_to_speak_of(piece: str) -> None:
    # Were it the square of the length, this would outlast every limit.
    assert redact(piece * (1_000_000 // len(piece))).text
