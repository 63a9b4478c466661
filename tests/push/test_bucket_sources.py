"""Pictures of a benchmark that lie in a bucket."""

from __future__ import annotations

import io

import pytest
from datasets import Dataset, Features, Image

from datagen.sources import open_pictures
from datagen.vision.known import KnownPictures
from tests.helpers.s3_server import BUCKET, S3Server
from tests.test_known_pictures import draw, pack


def put(server: S3Server, name: str, content: bytes) -> None:
    with server.open().open_output_stream(f"{BUCKET}/{name}") as file:
        file.write(content)


@pytest.mark.parametrize(("place", "count"), [("", 2), ("/", 2), ("/*.png", 1), ("/one.png", 1)])
def test_pictures_in_s3_are_read_by_folder_pattern_and_name(place: str, count: int, s3: S3Server) -> None:
    file = io.BytesIO()
    Dataset.from_dict({"image": [draw("blue")]}, features=Features({"image": Image()})).to_parquet(file)
    put(s3, "bench/one.png", pack(draw()))
    put(s3, "bench/deep/rows.parquet", file.getvalue())
    known = KnownPictures.from_places([f"s3://{BUCKET}/bench{place}"])
    assert len(known.places) == count
    assert "bench/one.png (difference 0.000)" in known.match(pack(draw()))


def test_a_picture_in_s3_that_changed_has_another_fingerprint(s3: S3Server) -> None:
    put(s3, "changing/one.png", pack(draw()))
    before = open_pictures(f"s3://{BUCKET}/changing").fingerprint()
    assert open_pictures(f"s3://{BUCKET}/changing").fingerprint() == before
    put(s3, "changing/one.png", pack(draw("green")))
    assert open_pictures(f"s3://{BUCKET}/changing").fingerprint() != before
