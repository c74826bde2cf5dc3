from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from puna_trainer.config.dataset import Dataset, DatasetFormat
from puna_trainer.data.tables import read_image_tables
from puna_trainer.exits import FailureReason
from tests.trainer.data.refused import refused

CSV = Dataset(uri="file:///x", format=DatasetFormat.CSV)
PARQUET = Dataset(uri="file:///x", format=DatasetFormat.PARQUET)


def csv(folder: Path, text: str, name: str = "train.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder


def parquet(folder: Path, columns: dict[str, object], name: str = "train.parquet") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / name)
    return folder


def png(value: int, mode: str = "L") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (2, 2), value if mode == "L" else (value, 1, 2)).save(stream, "PNG")
    return stream.getvalue()


def test_rows_of_csv_are_labels_and_pixels(tmp_path: Path) -> None:
    csv(tmp_path, "label,a,b,c,d\ncat,1,2,3,4\ndog,5,6,7,255\n")
    csv(tmp_path, "a,b,label,c,d\n9,9,cat,9,9\n", "test.csv")
    dataset = read_image_tables(CSV, tmp_path)
    assert dataset.train.labels == ("cat", "dog")
    assert dataset.train.images_NCHW.tolist() == [[[[1, 2], [3, 4]]], [[[5, 6], [7, 255]]]]
    assert dataset.test is not None
    assert dataset.test.labels == ("cat",)


def test_coloured_pixels_go_colour_by_colour(tmp_path: Path) -> None:
    header = ",".join(f"p{number}" for number in range(12))
    row = ",".join(map(str, range(12)))
    images = read_image_tables(CSV, csv(tmp_path, f"label,{header}\n1,{row}\n")).train.images_NCHW
    assert images.shape == (1, 3, 2, 2)
    assert images[0, 1].tolist() == [[4, 5], [6, 7]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("label,a,b,c,d\n1,1,2,3,4\n1,1,2,3\n", ("train.csv", "Row #3", "Expected 5 columns")),
        ("label,a,b,c,d\n1,1,2,3,4\n1,x,2,3,4\n", ("train.csv", "Row #3", "'x'")),
        ("label,a,b,c,d\n1,1,2,3,256\n", ("train.csv", "Row #2", "256", "0 to 255")),
        ("label,a,b,c,d\n1,1,2,3,4\n1,1,,3,4\n", ("row 2 has no value in the column 'b'",)),
        ("label,a,b,c,d\n,1,2,3,4\n", ("row 1 has no 'label'",)),
        ("label,a,b\n1,1,2\n", ("2 columns beside the label",)),
        ("", ("train.csv is empty",)),
    ],
)
def test_a_broken_row_is_told_with_its_number(
    tmp_path: Path, text: str, words: tuple[str, ...]
) -> None:
    with refused(*words):
        read_image_tables(CSV, csv(tmp_path, text))


def test_a_column_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    csv(tmp_path, "class,a\n1,2\n")
    with refused(
        "dataset.labelColumn: ",
        "train.csv has no column 'label'; there are class, a",
        reason=FailureReason.BAD_CONFIG,
    ):
        read_image_tables(CSV, tmp_path)
    csv(tmp_path, "label,label,a\n1,1,2\n")
    with refused("has the column 'label' 2 times"):
        read_image_tables(CSV, tmp_path)


def test_what_is_not_utf8_is_told(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(b"label,a\nb\xe4r,1\n")
    with refused("train.csv", "Row #2", "UTF8"):
        read_image_tables(CSV, tmp_path)


def test_encoded_images_of_parquet_are_decoded(tmp_path: Path) -> None:
    parquet(tmp_path, {"image": [png(1), png(2)], "label": ["x", "y"]})
    encoded = [{"bytes": png(3, "RGB"), "path": None}]
    parquet(tmp_path, {"image": encoded, "label": ["x"]}, "test-00000-of-00001.parquet")
    dataset = read_image_tables(PARQUET, tmp_path)
    assert dataset.train.images_NCHW.shape == (2, 3, 2, 2)
    assert dataset.train.images_NCHW[1].flatten().tolist() == [2] * 12
    assert dataset.test is not None
    assert dataset.test.images_NCHW[0, :, 0, 0].tolist() == [3, 1, 2]


def test_names_of_classes_come_from_the_hubs_description(tmp_path: Path) -> None:
    described = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    table = pa.table({"image": [png(1), png(2)], "label": [1, 0]})
    table = table.replace_schema_metadata({"huggingface": json.dumps(described)})
    pq.write_table(table, tmp_path / "train.parquet")
    assert read_image_tables(PARQUET, tmp_path).train.labels == ("dog", "cat")


def test_pixels_of_parquet_are_columns(tmp_path: Path) -> None:
    pixels: dict[str, object] = {f"p{number}": [number, 2.0] for number in range(4)}
    dataset = read_image_tables(PARQUET, parquet(tmp_path, {"label": [3, 4], **pixels}))
    assert dataset.train.images_NCHW[1].tolist() == [[[2, 2], [2, 2]]]
    assert dataset.train.labels == ("3", "4")
    parquet(tmp_path, {"label": [3, 4], "p": [1.0, float("nan")]})
    with refused("row 2 has nan in the column 'p'"):
        read_image_tables(PARQUET, tmp_path)


def test_what_is_no_image_is_told_with_its_row(tmp_path: Path) -> None:
    with refused("train.parquet:2 is no image"):
        read_image_tables(PARQUET, parquet(tmp_path, {"image": [png(1), b"x"], "label": [0, 1]}))
    with refused("the column 'image' holds string"):
        read_image_tables(PARQUET, parquet(tmp_path, {"image": ["x"], "label": [0]}))
    with refused("row 1 has no 'image'"):
        columns = {"image": pa.array([None], pa.binary()), "label": [0]}
        read_image_tables(PARQUET, parquet(tmp_path, columns))
    (tmp_path / "train.parquet").write_bytes(b"PAR1")
    with refused("train.parquet is no Parquet file"):
        read_image_tables(PARQUET, tmp_path)


def test_a_folder_without_such_files_is_told_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "data.txt").touch()
    with refused("no file of *.csv; there are 1 of *.txt"):
        read_image_tables(CSV, tmp_path)


def test_parts_of_a_dataset_in_several_files_are_joined(tmp_path: Path) -> None:
    for number in range(3):
        csv(tmp_path, f"label,a\n{number},{number}\n", f"train-{number}.csv")
    dataset = read_image_tables(CSV, tmp_path)
    assert dataset.train.labels == ("0", "1", "2")
    assert np.array_equal(dataset.train.images_NCHW.ravel(), [0, 1, 2])
    csv(tmp_path, "label,a,b,c,d\n1,1,2,3,4\n", "train-9.csv")
    with refused("images of different sizes"):
        read_image_tables(CSV, tmp_path)
