"""Texts become parts and a report."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from puna_trainer.config.dataset import Preparation
from puna_trainer.data.documents import Document, Unreadable
from puna_trainer.data.prepare import prepare
from puna_trainer.exits import FailureReason
from puna_trainer.files import read_json
from tests.trainer.data.refused import refused

DEFAULT = Preparation()


def document(text: str, name: str = "a.txt", *, is_test: bool = False) -> Document:
    return Document(name, text, is_test)


def run(
    folder: Path,
    documents: Sequence[Document | Unreadable],
    preparation: Preparation = DEFAULT,
    percent: int = 20,
) -> dict[str, Any]:
    return prepare(
        documents, folder, preparation, validation_percent=percent, report=lambda _: None
    )


def texts(folder: Path, part: str) -> list[str]:
    lines = (folder / f"{part}.jsonl").read_text().splitlines()
    return [json.loads(line)["text"] for line in lines]


MANY = [document(f"text number {number}") for number in range(200)]


def test_texts_are_split_into_two_parts_and_reported(tmp_path: Path) -> None:
    report = run(tmp_path, MANY)
    train, validation = texts(tmp_path, "train"), texts(tmp_path, "validation")
    assert sorted([*train, *validation]) == sorted(one.text for one in MANY)
    assert 20 < len(validation) < 60
    assert report["parts"]["train"]["documents"] == len(train)
    assert report["parts"]["validation"]["characters"] == sum(map(len, validation))
    assert read_json(tmp_path / "report.json") == report
    assert "no test part" in report["notes"][0]
    assert {path.name for path in tmp_path.iterdir()} == {
        "train.jsonl",
        "validation.jsonl",
        "report.json",
    }


def test_the_parts_do_not_depend_on_the_order(tmp_path: Path) -> None:
    shuffled = list(MANY)
    random.Random(1).shuffle(shuffled)
    run(tmp_path / "one", MANY)
    run(tmp_path / "other", shuffled)
    assert texts(tmp_path / "one", "validation") == texts(tmp_path / "other", "validation")
    assert set(texts(tmp_path / "one", "train")) == set(texts(tmp_path / "other", "train"))


def test_a_second_time_gives_the_same_bytes(tmp_path: Path) -> None:
    assert run(tmp_path / "one", MANY) == run(tmp_path / "other", MANY)


def test_duplicates_are_left_out_blanks_and_case_apart(tmp_path: Path) -> None:
    twice = [*MANY, document("Text  NUMBER\n7"), document("text number 7 ")]
    report = run(tmp_path, twice)
    assert report["documents"]["duplicates"] == 2
    assert report["documents"]["kept"] == 200
    kept = run(tmp_path, twice, Preparation(deduplicate=False))
    assert kept["documents"]["kept"] == 202


def test_what_is_in_the_test_part_is_not_learned_from(tmp_path: Path) -> None:
    tests = [document("Text number 3", is_test=True), document("other", is_test=True)]
    report = run(tmp_path, [*tests, *MANY])
    assert sorted(texts(tmp_path, "test")) == ["Text number 3", "other"]
    assert "text number 3" not in texts(tmp_path, "train") + texts(tmp_path, "validation")
    assert report["notes"] == []
    run(tmp_path, MANY)
    assert not (tmp_path / "test.jsonl").exists()


def test_texts_that_are_too_short_or_too_long_are_left_out(tmp_path: Path) -> None:
    texts_of = [document("x" * size) for size in (0, 4, 5, 9, 10, 11)] + [document(" \n" * 3)]
    report = run(tmp_path, texts_of, Preparation(min_characters=5, max_characters=10))
    assert report["documents"] == {
        "read": 7,
        "kept": 3,
        "duplicates": 0,
        "tooShort": 3,
        "tooLong": 1,
        "notUtf8": 0,
    }


def test_files_that_are_no_text_are_passed_over_counted_and_named(tmp_path: Path) -> None:
    bad = Unreadable("data/b.txt", "line 3 is not UTF-8 (byte 0xe9)")
    report = run(tmp_path, [*MANY, bad])
    assert (report["documents"]["read"], report["documents"]["kept"]) == (201, 200)
    assert report["documents"]["notUtf8"] == 1
    assert report["unreadable"] == [{"source": bad.name, "why": bad.why}]
    assert run(tmp_path, [document("one"), bad, document("two")])["documents"]["kept"] == 2


def test_too_many_files_that_are_no_text_are_refused(tmp_path: Path) -> None:
    bad = Unreadable("data/b.txt", "line 3 is not UTF-8 (byte 0xe9)")
    run(tmp_path, [*MANY, *[bad] * 10])
    with refused("11 of 211 files are not UTF-8", "data/b.txt, line 3", "dataset.include"):
        run(tmp_path, [*MANY, *[bad] * 11])
    with refused("of 1 documents 0 are left", "1 are not UTF-8"):
        run(tmp_path, [bad])


def test_personal_data_leave_neither_text_nor_trace(tmp_path: Path) -> None:
    secret = "ada@example.org"
    own = [document(f"{number}: write to {secret} or 8.8.4.4", "mail.txt") for number in range(9)]
    report = run(tmp_path, own)
    assert report["redacted"]["documents"] == 9
    assert report["redacted"]["found"] == {"key": 0, "email": 9, "card": 0, "ip": 9, "phone": 0}
    assert report["redacted"]["examples"]["email"][0] == {
        "source": "mail.txt",
        "text": "0: write to <EMAIL> or <IP>",
    }
    assert len(report["redacted"]["examples"]["email"]) == 5
    for path in tmp_path.iterdir():
        assert secret not in path.read_text()
    run(tmp_path, own, Preparation(redact=False))
    assert secret in (tmp_path / "train.jsonl").read_text()


def test_two_texts_are_enough_and_one_is_not(tmp_path: Path) -> None:
    for percent in (1, 50):
        run(tmp_path, [document("one"), document("two")], percent=percent)
        assert len(texts(tmp_path, "train")) == len(texts(tmp_path, "validation")) == 1
    with refused("of 2 documents 1 are left", "1 were there before", "preparation"):
        run(tmp_path, [document("one"), document("ONE")])
    with refused("of 2 documents 2 are left", "that differ"):
        run(tmp_path, [document("one"), document("ONE")], Preparation(deduplicate=False))
    with refused("of 0 documents 0 are left"):
        run(tmp_path, [])


def test_lines_of_other_scripts_stay_one_line_each(tmp_path: Path) -> None:
    run(tmp_path, [document("漢\u2028字\n\x85é"), document("🙂\r\n\0")])
    found = [
        json.loads(line)["text"]
        for part in ("train", "validation")
        for line in (tmp_path / f"{part}.jsonl").read_bytes().splitlines()
    ]
    assert sorted(found) == sorted(["漢\u2028字\n\x85é", "🙂\r\n\0"])


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with refused(str(tmp_path / "file"), reason=FailureReason.OUTPUT_UNUSABLE):
        run(tmp_path / "file", MANY)


@pytest.mark.parametrize("count", [3, 10, 57])
def test_every_document_is_written_whole(tmp_path: Path, count: int) -> None:
    chance = random.Random(count)
    own = [
        document("".join(chance.choices('aé漢🙂 \n"\\', k=chance.randrange(1, 500))) + str(number))
        for number in range(count)
    ]
    run(tmp_path, own, Preparation(redact=False), percent=30)
    assert sorted(texts(tmp_path, "train") + texts(tmp_path, "validation")) == sorted(
        one.text for one in own
    )
