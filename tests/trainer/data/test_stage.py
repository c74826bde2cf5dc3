"""The stage `data`, from an address to prepared data."""

from __future__ import annotations

import json
import os
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from puna_trainer.config.run import Run, read_run
from puna_trainer.data.images import load_images
from puna_trainer.data.stage import data_digest, fields_of_data, make_data, prepare_data
from puna_trainer.distributed import ProcessGroup
from puna_trainer.errors import Interrupted
from puna_trainer.exits import FailureReason
from puna_trainer.reporting.reporter import Reporter
from puna_trainer.stage import StageContext
from puna_trainer.stop import StopSignal
from tests.fetch.source_server import SourceServer, answer, running, serve
from tests.trainer.data.refused import refused
from tests.trainer.data.test_idx import write_dataset
from tests.trainer.storage.fetching import sha256_of

IMAGES = {"task": "ImageClassification", "model": {"name": "cnn_mnist"}}
TEXTS = {
    "task": "LanguageModel",
    "model": {
        "layers": 1,
        "width": 32,
        "heads": 1,
        "contextLength": 16,
        "vocabularySize": 300,
    },
}


def a_run(kind: dict[str, Any], dataset: dict[str, Any], **fields: Any) -> Run:
    document = kind | {"name": "tiny", "dataset": dataset, "outputDirectory": "/out"} | fields
    return read_run(json.dumps(document))


def make(run: Run, folder: Path) -> dict[str, Any]:
    return make_data(run, folder, lambda _: None)


def archive(folder: Path, path: Path) -> bytes:
    with tarfile.open(path, "w:gz") as packed:
        packed.add(folder, folder.name)
    return path.read_bytes()


def test_an_archive_of_images_is_fetched_checked_unpacked_and_split(tmp_path: Path) -> None:
    write_dataset(tmp_path / "mnist")
    data = archive(tmp_path / "mnist", tmp_path / "mnist.tgz")
    with running(SourceServer(data)) as source:
        source.behaviours.append(serve(cut_after=100))
        dataset = {
            "uri": source.url("/mnist.tgz"),
            "format": "idx",
            "sha256": sha256_of(data),
            "validationPercent": 50,
        }
        run = a_run(IMAGES, dataset)
        report = make(run, tmp_path / "data")
        first = data_digest(tmp_path / "data")
        asked = len(source.asked)
        assert make(run, tmp_path / "data") == report
        assert len(source.asked) == asked
    assert first is not None
    assert data_digest(tmp_path / "data") == first
    images = load_images(tmp_path / "data")
    assert len(images.train.labels_N) == len(images.validation.labels_N) == 3
    assert images.test.labels_N.tolist() == [2, 1]


def test_texts_of_a_folder_are_prepared_where_they_lie(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    for number in range(30):
        (tmp_path / "code" / f"m{number}.py").write_text(f"x = {number}\n")
    (tmp_path / "code" / "data.bin").write_bytes(b"\xff")
    dataset = {"uri": f"file://{tmp_path}/code", "format": "text", "include": ["*.py"]}
    report = make(a_run(TEXTS, dataset), tmp_path / "data")
    assert report["documents"]["kept"] == 30
    assert {path.name for path in (tmp_path / "data").iterdir()} == {
        "train.jsonl",
        "validation.jsonl",
        "report.json",
    }


def test_a_file_whose_name_is_not_utf8_is_named_with_its_bytes_escaped(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    for name in (b"ros\xe9.txt", b"a.txt", b"b.txt"):
        (tmp_path / "texts" / os.fsdecode(name)).write_text(f"of {name!r}")
    run = a_run(TEXTS, {"uri": f"file://{tmp_path}/texts", "format": "text"})
    make(run, tmp_path / "data")
    rows = [
        json.loads(line)
        for path in (tmp_path / "data").glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert {row["source"] for row in rows} == {
        "texts/ros\\xe9.txt",
        "texts/a.txt",
        "texts/b.txt",
    }


def test_a_class_whose_name_is_not_utf8_is_named_with_its_bytes_escaped(tmp_path: Path) -> None:
    for name in (b"ros\xe9", b"bar"):
        folder = tmp_path / "places" / "train" / os.fsdecode(name)
        folder.mkdir(parents=True)
        for number in range(10):
            Image.new("L", (4, 4), number).save(folder / f"{number}.png")
    run = a_run(IMAGES, {"uri": f"file://{tmp_path}/places", "format": "imagefolder"})
    assert make(run, tmp_path / "data")["classes"] == ["bar", "ros\\xe9"]


def test_the_digest_is_that_of_what_was_made(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"text": "{number}"}}\n' for number in range(9)))
    run = a_run(TEXTS, {"uri": f"file://{path}", "format": "jsonl"})
    assert data_digest(tmp_path / "data") is None
    make(run, tmp_path / "data")
    digest = data_digest(tmp_path / "data")
    with (tmp_path / "data" / "train.jsonl").open("a") as stream:
        stream.write('{"text": "more"}\n')
    assert data_digest(tmp_path / "data") != digest
    (tmp_path / "data" / "train.jsonl").unlink()
    assert data_digest(tmp_path / "data") is None
    make(run, tmp_path / "data")
    assert data_digest(tmp_path / "data") == digest


def test_a_failure_leaves_no_older_report_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "1"}\n{"text": "2"}\n')
    run = a_run(TEXTS, {"uri": f"file://{path}", "format": "jsonl"})
    make(run, tmp_path / "data")
    path.write_text("broken")
    with refused("a.jsonl: line 1"):
        make(run, tmp_path / "data")
    assert data_digest(tmp_path / "data") is None


def test_fields_that_change_the_data_are_those_they_depend_on() -> None:
    dataset = {"uri": "file:///x", "format": "jsonl"}
    same = [
        a_run(TEXTS, dataset),
        a_run(TEXTS, dataset, hyperparameters={"seed": 3}),
        a_run(TEXTS, dataset | {"maxBytes": 7}),
    ]
    others = [
        a_run(TEXTS, dataset | {"validationPercent": 11}),
        a_run(TEXTS, dataset, preparation={"redact": False}),
        a_run(IMAGES, dataset | {"format": "csv"}),
        a_run(IMAGES, dataset | {"format": "csv"}, hyperparameters={"seed": 3}),
    ]
    found = [json.dumps(fields_of_data(run), sort_keys=True) for run in [*same, *others]]
    assert len(set(found[:3])) == 1
    assert len(set(found)) == 5


@pytest.fixture
def lines() -> list[str]:
    return []


def context(run: Run, folder: Path, lines: list[str], stop: StopSignal) -> StageContext:
    return StageContext(
        run=run,
        folder=folder,
        device=torch.device("cpu"),
        reporter=Reporter(run, None, write=lines.append, clock=time.monotonic),
        stop=stop,
        group=ProcessGroup(),
        inputs="0" * 64,
    )


def test_the_stage_puts_everything_below_one_folder(tmp_path: Path, lines: list[str]) -> None:
    write_dataset(tmp_path / "mnist")
    run = a_run(IMAGES, {"uri": f"file://{tmp_path}/mnist", "format": "idx"})
    prepare_data(context(run, tmp_path / "out", lines, StopSignal()))
    assert load_images(tmp_path / "out" / "data").classes == ("0", "1", "2")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["data"]


def test_a_signal_ends_the_stage_though_the_source_is_asked_again(
    tmp_path: Path, lines: list[str]
) -> None:
    stop = StopSignal()
    with running(SourceServer(b"x" * 1000)) as source:

        def cut() -> None:
            stop.requested = True

        source.always = serve(cut_after=10, then=cut)
        run = a_run(TEXTS, {"uri": source.url("/a.jsonl"), "format": "jsonl"})
        with pytest.raises(Interrupted):
            prepare_data(context(run, tmp_path, lines, stop))
        assert len(source.asked) == 1


def test_a_source_that_is_not_there_is_told_by_its_field(tmp_path: Path) -> None:
    with running(SourceServer(b"")) as source:
        source.always = answer(404)
        run = a_run(TEXTS, {"uri": source.url("/a.jsonl"), "format": "jsonl"})
        with refused("dataset.uri", "404", reason=FailureReason.BAD_CONFIG):
            make(run, tmp_path)
