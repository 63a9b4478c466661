"""The form of images in an Emu3 sequence: what may come next in one, and what is refused when it is read."""

from __future__ import annotations

import math

import pytest
import torch

from datagen.backends.transformers.emu3 import FormError, ImageForm, Interleave, Part, read_written

EOS, BEGIN, END, FILE, LINE, WRAP, PAD = range(7)
TEXT, CODE = 10, 20
FORM = ImageForm(
    begin=BEGIN,
    end=END,
    end_of_file=FILE,
    end_of_line=LINE,
    eos=EOS,
    header=(TEXT, WRAP),
    codes=(CODE, CODE + 1),
    unwritten=(END, FILE, LINE, WRAP, PAD),
    height=2,
    width=1,
)
IMAGE = [BEGIN, TEXT, WRAP, CODE, LINE, CODE + 1, LINE, FILE, END]
VOCABULARY = 25
TEXT_TOKENS = {*range(7, 20), *range(22, 25)}


def follow(written: list[int], **options: object) -> list[set[int]]:
    """Return what a processor leaves possible before each token of `written`, and after the last."""
    settings = {"max_text": 3, "max_images": 2, "forced": False, "started": False, **options}
    interleave = Interleave(FORM, VOCABULARY, 1, **settings)  # type: ignore[arg-type]
    allowed = []
    for length in range(len(written) + 1):
        scores = interleave(torch.tensor([[PAD, *written[:length]]]), torch.zeros(1, VOCABULARY))
        allowed.append(set((scores[0] > -math.inf).nonzero().flatten().tolist()))
    return allowed


def test_an_image_is_as_long_as_its_form_says() -> None:
    assert FORM.length == len(IMAGE)
    assert [FORM.token_at(place) for place in range(8)] == [TEXT, WRAP, None, LINE, None, LINE, FILE, END]


def test_text_is_free_and_an_image_is_held_to_its_form() -> None:
    first, *inside, after = follow(IMAGE)
    assert first == after == TEXT_TOKENS | {EOS, BEGIN}
    assert inside == [{TEXT}, {WRAP}, {CODE, CODE + 1}, {LINE}, {CODE, CODE + 1}, {LINE}, {FILE}, {END}]


def test_after_the_last_image_a_row_can_only_end() -> None:
    assert follow(IMAGE, max_images=1)[-1] == {EOS}
    assert follow([*IMAGE, *IMAGE])[-1] == {EOS}


def test_after_the_last_text_token_a_row_ends_or_is_made_to_draw() -> None:
    words = [TEXT] * 3
    assert follow(words)[-1] == {EOS}
    assert follow(words, forced=True)[-1] == {BEGIN}
    assert follow([*words, *IMAGE], forced=True)[-1] == {EOS}


def test_forced_the_end_of_the_text_is_the_begin_of_the_image() -> None:
    interleave = Interleave(FORM, VOCABULARY, 1, max_text=3, max_images=1, forced=True, started=False)
    scores = torch.full((1, VOCABULARY), -2.0)
    scores[0, EOS] = 4.0
    first = interleave(torch.tensor([[PAD]]), scores)[0]
    assert set((first > -math.inf).nonzero().flatten().tolist()) == TEXT_TOKENS
    left = interleave(torch.tensor([[PAD, TEXT]]), scores)[0]
    assert left.argmax().item() == BEGIN
    assert left[EOS] == -math.inf
    assert scores[0, EOS] == 4.0  # the scores that came in stay as they are


def test_started_rows_stand_before_the_first_code() -> None:
    allowed = follow(IMAGE[3:], max_images=1, started=True)
    assert allowed[:2] == [{CODE, CODE + 1}, {LINE}]
    assert allowed[-1] == {EOS}


def test_rows_go_their_own_ways() -> None:
    interleave = Interleave(FORM, VOCABULARY, 2, max_text=9, max_images=1, forced=False, started=False)
    interleave(torch.tensor([[PAD], [PAD]]), torch.zeros(2, VOCABULARY))
    interleave(torch.tensor([[PAD, BEGIN], [PAD, TEXT]]), torch.zeros(2, VOCABULARY))
    assert interleave.inside == [True, False]
    interleave(torch.tensor([[PAD, BEGIN, TEXT], [PAD, TEXT, BEGIN]]), torch.zeros(2, VOCABULARY))
    assert interleave.inside == [True, True]


def test_text_and_images_are_read_in_their_order() -> None:
    drawn = Part("image", (CODE, CODE + 1))
    ids = [TEXT, 11, *IMAGE, 12, *IMAGE, EOS, PAD, PAD]
    assert read_written(FORM, ids, started=False) == [Part("text", (TEXT, 11)), drawn, Part("text", (12,)), drawn]
    assert read_written(FORM, [*IMAGE[3:], EOS], started=True) == [drawn]
    assert read_written(FORM, [EOS], started=False) == []


@pytest.mark.parametrize(
    ("ids", "reason"),
    [
        (IMAGE[:-1], "the image ends after 8 of 9 tokens"),
        ([*IMAGE[:4], EOS], "the image ends after 4 of 9 tokens"),
        ([*IMAGE[:3], TEXT, *IMAGE[4:]], "the image breaks its form at token 4 of 9"),
        ([*IMAGE[:4], CODE, *IMAGE[5:]], "the image breaks its form at token 5 of 9"),
        ([TEXT, CODE], "token 20 is in the text"),
        ([TEXT, END], "token 2 is in the text"),
    ],
)
def test_what_breaks_the_form_is_refused(ids: list[int], reason: str) -> None:
    with pytest.raises(FormError, match=reason):
        read_written(FORM, ids, started=False)
