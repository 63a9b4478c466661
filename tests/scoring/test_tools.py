"""Tools look once per image, forget the one before, and never remember an exception."""

from __future__ import annotations

import pytest

from datagen.records import Detection
from datagen.scoring.tools import make_tools
from datagen.vision.detectors import pictograms


def test_the_current_image_is_looked_at_once() -> None:
    seen: list[tuple[str, bytes]] = []

    def detect(image: bytes) -> list[Detection]:
        seen.append(("detect", image))
        return [Detection("star", "red", (0, 0, 1, 1), 1.0)]

    def read_text(image: bytes) -> list[str]:
        seen.append(("read", image))
        return [image.decode()]

    tools = make_tools(detect, read_text)
    for image in (b"1", b"1", b"2", b"1"):
        tools.detect(image).clear()
        assert len(tools.detect(image)) == 1  # what a caller does to its list is its own affair
        assert tools.read_text(image) == [image.decode()]
    assert seen == [(what, image) for image in (b"1", b"2", b"1") for what in ("detect", "read")]


def test_an_exception_is_raised_again_and_not_taken_for_an_answer() -> None:
    def fail(image: bytes) -> list[str]:
        raise OSError("damaged")

    tools = make_tools(lambda image: [], fail)
    for _ in range(2):
        with pytest.raises(OSError, match="damaged"):
            tools.read_text(b"1")


def test_a_detector_that_reads_is_asked_in_place_of_the_ocr() -> None:
    class Reader:
        def __call__(self, image: bytes) -> list[Detection]:
            return []

        def read_text(self, image: bytes) -> list[str]:
            return ["by the detector"]

    def read_text(image: bytes) -> list[str]:
        return ["by the OCR"]

    assert make_tools(Reader(), read_text).read_text(b"1") == ["by the detector"]
    assert make_tools(Reader().__call__, read_text).read_text(b"1") == ["by the OCR"]


def test_labels_come_from_the_detector() -> None:
    known = make_tools(pictograms.build({}), lambda image: [])
    assert known.find_unknown({"star", "violin", "apple"}) == ["apple", "violin"]
    anything = make_tools(lambda image: [], lambda image: [])
    assert anything.find_unknown({"violin"}) == []
