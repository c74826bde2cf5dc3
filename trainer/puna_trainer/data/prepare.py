"""Prepare: texts for a language model, without duplicates and personal data, in parts.

`train.jsonl` and `validation.jsonl`, and `test.jsonl` if the dataset has a test part, hold
an object {"text", "source"} on each line. `report.json` tells what was left out, replaced and held
back.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from puna_trainer.config.dataset import Preparation
from puna_trainer.data.documents import WAY_OUT, Document, Unreadable
from puna_trainer.data.parts import Line, Part, parts_of
from puna_trainer.data.redact import redact
from puna_trainer.data.split import normal_digest
from puna_trainer.data.tally import Tally
from puna_trainer.files import file_digest, write_json
from puna_trainer.storage.atomic import replacing
from puna_trainer.storage.download import Report
from puna_trainer.storage.faults import corrupt, writing

LOG: Final = logging.getLogger(__name__)
REPORT: Final = "report.json"
FEWEST: Final = 2
"""Documents that it takes to train on some and validate on others."""
MOST_UNREADABLE_PERCENT: Final = 5
"""Files of a hundred that may be no text, or one in all: of more the dataset is another."""
REPORT_EVERY: Final = 256
"""Documents between two words of progress."""
NO_TEST: Final = (
    "The dataset has no test part of its own: what is measured in the end comes from the documents "
    "that are held back."
)


def prepare(
    documents: Iterable[Document | Unreadable],
    folder: Path,
    preparation: Preparation,
    *,
    validation_percent: int,
    report: Report,
) -> dict[str, Any]:
    """Write the parts of a dataset of texts, and return the report that lies beside them.

    Which part a document is in, its own text decides, and no order.

    Raises:
        TrainingError: DataCorrupt, too little is left to train on, or too many files are no text;
            DiskFull.
    """
    tally = Tally()
    everything = folder / "documents.new"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lines = _spool(_kept(documents, preparation, tally, report), everything, preparation, tally)
    _check_readable(tally)
    own = sum(not line.is_test for line in lines)
    if len({line.digest for line in lines if not line.is_test}) < FEWEST:
        raise corrupt(
            f"dataset: of {tally.read} documents {own} are left to train on "
            f"({tally.left_out()}), and it takes {FEWEST} that differ; change preparation, or cut "
            "long texts into documents"
        )
    parts = parts_of(lines, validation_percent)
    digests: dict[Part, str] = {}
    with writing(folder):
        for part, found in parts.items():
            path = folder / f"{part}.jsonl"
            path.unlink(missing_ok=True)
            if found:
                _copy(found, everything, path)
                digests[part] = file_digest(path)
        everything.unlink()
        document = {
            "kind": "texts",
            **tally.document(parts, digests),
            "validationPercent": validation_percent,
            "preparation": preparation.model_dump(mode="json", by_alias=True),
            "notes": [] if Part.TEST in digests else [NO_TEST],
        }
        write_json(folder / REPORT, document)
    return document


def _kept(
    documents: Iterable[Document | Unreadable],
    preparation: Preparation,
    tally: Tally,
    report: Report,
) -> Iterator[tuple[Document, bytes]]:
    """Yield what is text, neither too short nor too long, nor was there before; with its digest."""
    seen: set[bytes] = set()
    for document in documents:
        if tally.read % REPORT_EVERY == 0:
            report(f"preparing documents: {tally.read} read")
        tally.read += 1
        if isinstance(document, Unreadable):
            LOG.warning("passed over: %s: %s", document.name, document.why)
            tally.pass_over(document)
            continue
        if len(document.text) < preparation.min_characters or not document.text.strip():
            tally.too_short += 1
            continue
        if len(document.text) > preparation.max_characters:
            tally.too_long += 1
            continue
        digest = normal_digest(document.text)
        if preparation.deduplicate and digest in seen:
            tally.duplicates += 1
            continue
        seen.add(digest)
        yield document, digest


def _check_readable(tally: Tally) -> None:
    if tally.not_utf8 > max(1, tally.read * MOST_UNREADABLE_PERCENT // 100):
        first = tally.unreadable[0]
        raise corrupt(
            f"dataset: {tally.not_utf8} of {tally.read} files are not UTF-8, and "
            f"{MOST_UNREADABLE_PERCENT} percent may be; the first is {first.name}, {first.why}: "
            f"{WAY_OUT}"
        )


def _spool(
    documents: Iterable[tuple[Document, bytes]],
    path: Path,
    preparation: Preparation,
    tally: Tally,
) -> list[Line]:
    """Write all documents to one file, redacted if that is asked for."""
    lines: list[Line] = []
    start = 0
    with writing(path.parent), path.open("wb") as stream:
        for document, digest in documents:
            text = document.text
            if preparation.redact:
                redacted = redact(text)
                tally.note(redacted, document.name)
                text = redacted.text
            row = json.dumps({"text": text, "source": document.name}, ensure_ascii=False)
            data = row.encode() + b"\n"
            stream.write(data)
            lines.append(
                Line(digest, start, len(data), len(text), len(text.encode()), document.is_test)
            )
            start += len(data)
    return lines


def _copy(lines: Sequence[Line], source: Path, path: Path) -> None:
    with source.open("rb") as stream, replacing(path) as out:
        for line in lines:
            stream.seek(line.start)
            out.write(stream.read(line.size))
