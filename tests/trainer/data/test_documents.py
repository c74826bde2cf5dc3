from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from puna_trainer.config.dataset import Dataset, DatasetFormat
from puna_trainer.data.documents import Document, Unreadable, read_documents
from puna_trainer.exits import FailureReason
from tests.trainer.data.refused import refused


def read(root: Path, kind: str, include: tuple[str, ...] = ()) -> list[Document | Unreadable]:
    dataset = Dataset(uri="file:///x", format=DatasetFormat(kind), include=include)
    return list(read_documents(dataset, root))


def texts(root: Path, kind: str, include: tuple[str, ...] = ()) -> list[str]:
    return [text_of(document) for document in read(root, kind, include)]


def text_of(document: Document | Unreadable) -> str:
    assert isinstance(document, Document), document
    return document.text


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    return root


def test_each_file_of_text_is_a_document(root: Path) -> None:
    (root / "b.txt").write_text("\ufeffBär\r\n")
    (root / "a").mkdir()
    (root / "a" / "test_x.py").write_text("pass")
    (root / ".git").mkdir()
    (root / ".git" / "index").write_bytes(b"\xff")
    assert read(root, "text") == [
        Document("data/a/test_x.py", "pass", is_test=False),
        Document("data/b.txt", "Bär\r\n", is_test=False),
    ]
    assert texts(root, "text", ("*.py", "*.rs")) == ["pass"]
    assert texts(root / "b.txt", "text") == ["Bär\r\n"]


def test_a_pattern_that_fits_nothing_is_told_with_what_is_there(root: Path) -> None:
    for name in ("a.txt", "b.txt", "c.md"):
        (root / name).touch()
    with refused("no file of *.py", "2 of *.txt, 1 of *.md"):
        read(root, "text", ("*.py",))


def test_a_file_of_text_that_is_not_utf8_is_passed_over_and_told(root: Path) -> None:
    (root / "a.txt").write_bytes(b"one\ntwo\nthr\xe9e\n")
    (root / "b.txt").write_text("four")
    assert read(root, "text") == [
        Unreadable("data/a.txt", "line 3 is not UTF-8 (byte 0xe9)"),
        Document("data/b.txt", "four", is_test=False),
    ]


def test_a_file_of_lines_that_is_not_utf8_is_refused_with_its_line(root: Path) -> None:
    (root / "a.txt").write_bytes(b'{"text": "1"}\n{"text": "2"}\n"\xe9"\n')
    with refused("data/a.txt: line 3 is not UTF-8 (byte 0xe9)", "dataset.include"):
        read(root, "jsonl")


def test_each_line_of_jsonl_is_a_document(root: Path) -> None:
    (root / "train.jsonl").write_text('{"text": "a\\nb", "x": 1}\n\n{"text": ""}')
    (root / "test.jsonl").write_text('{"text": "t"}\n')
    assert read(root, "jsonl") == [
        Document("data/test.jsonl:1", "t", is_test=True),
        Document("data/train.jsonl:1", "a\nb", is_test=False),
        Document("data/train.jsonl:3", "", is_test=False),
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"text": ', "line 2 is no JSON"),
        ("[1]", "line 2 is no JSON object"),
        ('{"text": 3}', "line 2 has a int as 'text'"),
        ('{"text": null}', "line 2 has nothing as 'text'"),
        ("[" * 100_000, "line 2"),
        ('{"text": "\\ud800"}', "surrogate"),
    ],
)
def test_a_broken_line_of_jsonl_is_told_with_its_number(root: Path, line: str, words: str) -> None:
    (root / "a.jsonl").write_text(f'{{"text": "x"}}\n{line}\n')
    with refused("data/a.jsonl", words):
        read(root, "jsonl")


def test_a_member_that_is_not_there_is_told_with_those_that_are(root: Path) -> None:
    (root / "a.jsonl").write_text('{"content": "x", "id": 1}\n')
    with refused(
        "dataset.textColumn: data/a.jsonl: line 1 has no column 'text'; there are content, id",
        reason=FailureReason.BAD_CONFIG,
    ):
        read(root, "jsonl")


def test_each_row_of_csv_is_a_document(root: Path) -> None:
    long = "x" * 200_000
    (root / "a.csv").write_text(f'id,text\n1,"a ""b""\nc"\n\n2,{long}\n')
    (root / "notes.md").touch()
    assert [(document.name, text_of(document)) for document in read(root, "csv")] == [
        ("data/a.csv:3", 'a "b"\nc'),
        ("data/a.csv:5", long),
    ]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("1,a\n2\n", "the row that ends in line 3 has 1 fields, and the header 2"),
        ('1,"a\n', "line"),
        ('1,"a"b\n', "line 2"),
    ],
)
def test_a_broken_row_of_csv_is_told_with_its_line(root: Path, rows: str, words: str) -> None:
    (root / "a.csv").write_text(f"id,text\n{rows}")
    with refused("data/a.csv", words):
        read(root, "csv")


def test_each_row_of_parquet_is_a_document(root: Path) -> None:
    table = pa.table({"text": [str(number) for number in range(600)], "id": range(600)})
    pq.write_table(table, root / "train-00000.parquet")
    found = read(root, "parquet")
    assert [text_of(document) for document in found] == [str(number) for number in range(600)]
    assert found[599].name == "data/train-00000.parquet:600"


def test_what_is_wrong_with_parquet_is_told(root: Path) -> None:
    path = root / "a.parquet"
    pq.write_table(pa.table({"text": ["a", None]}), path)
    with refused("data/a.parquet: row 2 has no 'text'"):
        read(root, "parquet")
    pq.write_table(pa.table({"text": [1]}), path)
    with refused("the column 'text' holds int64"):
        read(root, "parquet")
    pq.write_table(pa.table({"content": ["a"]}), path)
    with refused("there are content", reason=FailureReason.BAD_CONFIG):
        read(root, "parquet")
    path.write_bytes(path.read_bytes()[:-20])
    with refused("data/a.parquet"):
        read(root, "parquet")


def test_an_empty_folder_is_told(root: Path) -> None:
    for kind in ("text", "jsonl", "csv", "parquet"):
        with refused("data holds no file", "none at all"):
            read(root, kind)


def test_json_of_other_programs_is_read(root: Path) -> None:
    (root / "a.jsonl").write_text(json.dumps({"text": "漢\u2028x"}, ensure_ascii=False) + "\r\n")
    assert texts(root, "jsonl") == ["漢\u2028x"]
