"""One vocabulary for text and image tokens, and the form of sequences. The generator writes

    <|bos|> <|think|>  a red star  <|assistant|> <think> plan </think> <image> rows </image> <|eos|>
    <|bos|> <|direct|> a red star  <|assistant|>                       <image> rows </image> <|eos|>

and the reader, a second model with the same vocabulary, writes

    <|bos|> <|chat|> words <image> cells </image> <|assistant|> <look> what it sees </look> words <|eos|>
    <|bos|> <|reflect|> a red star <|assistant|> <think> plan </think> <image> cells </image>
                                                 <look> what it sees </look> <reflect> what to change </reflect> <|eos|>

A row is `<|row_r|>` and six image tokens, the codes of `codec.ImageCodec`; there are six rows. The reader gets each
image token after the corner where its cell begins, so that it can copy positions.

The model writes everything after `<|assistant|>`: it opens and closes the thought, and begins the image. Text is
lossless byte-level BPE; each capital letter is a token, so that words to be rendered are spelled letter by letter. The
plan is GoT-R1's coordinate form (arXiv 2503.10639); a corner of the 6 x 6 grid is one token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from datagen.embedded.pictograms import GRID, Item, Scene
from datagen.markup import BOX, END_BOX, END_OBJECT, OBJECT, Marked, read_markup, write_marked
from datagen.taxonomy.english import article_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer


PAD, BOS, EOS = "<|pad|>", "<|bos|>", "<|eos|>"
ASSISTANT = "<|assistant|>"
MODES = {"think": "<|think|>", "direct": "<|direct|>", "reflect": "<|reflect|>"}
CHAT = "<|chat|>"
THINK, END_THINK, IMAGE, END_IMAGE = "<think>", "</think>", "<image>", "</image>"
LOOK, END_LOOK, REFLECT, END_REFLECT = "<look>", "</look>", "<reflect>", "</reflect>"
YES, NO = "Yes", "No"
BETWEEN = END_OBJECT + BOX
ROWS = [f"<|row_{row}|>" for row in range(GRID)]
SPARE = [f"<|spare_{k:02d}|>" for k in range(24)]
_BACKGROUND = re.compile(r"[a-z ]*")
_PHRASE = re.compile(r"[a-z]+ [a-z]+(?: \"[A-Z]+\")?")
TEXT_TOKENS = 700
"""Size of the byte-level BPE part; the grid and the codec determine the rest of the vocabulary."""


def thousandths(cell: int) -> int:
    """Return the position of a grid line in thousandths of the picture."""
    return round(1000 * cell / GRID)


def corner(cell_x: int, cell_y: int) -> str:
    """Return a grid corner in thousandths of the picture: `(167,333)`."""
    return f"({thousandths(cell_x)},{thousandths(cell_y)})"


CORNERS = [corner(x, y) for y in range(GRID + 1) for x in range(GRID + 1)]
FIXED = [
    PAD, BOS, EOS, ASSISTANT, MODES["think"], MODES["direct"], THINK, END_THINK, IMAGE, END_IMAGE,
    OBJECT, BETWEEN, *ROWS, CHAT, MODES["reflect"], LOOK, END_LOOK, REFLECT, END_REFLECT, YES, NO, *SPARE,
    *CORNERS, *(f",{point}{END_BOX}" for point in CORNERS),
]  # fmt: skip


def describe_item(item: Item) -> str:
    """Return one item in the form of a plan: phrase, then box."""
    phrase = f'{item.color} text "{item.word}"' if item.kind == "text" else f"{item.color} {item.kind}"
    box = thousandths(item.x1), thousandths(item.y1), thousandths(item.x2), thousandths(item.y2)
    return write_marked(Marked(phrase, box))


def describe_scene(scene: Scene) -> str:
    """Return a scene as a plan: background, then the items in order."""
    return f"{scene.background} background" + "".join(describe_item(item) for item in scene.items)


def read_plan(text: str) -> tuple[str, list[Marked]]:
    """Return a plan in the model's form, and its objects; a text that is not exactly a plan has none.

    A plan is a background and objects, each a colour and a name, or a colour and a word, in a box.
    """
    pieces = read_markup(text)
    background = pieces[0] if pieces and isinstance(pieces[0], str) else ""
    things = [piece for piece in pieces if isinstance(piece, Marked)]
    words = [piece for piece in pieces if isinstance(piece, str)]
    is_plan = _BACKGROUND.fullmatch(background) and not "".join(words).removeprefix(background).strip()
    if not is_plan or not all(thing.box and _PHRASE.fullmatch(thing.phrase) for thing in things):
        return text, []
    return background + "".join(map(write_marked, things)), things


def build_tokenizer(corpus: Iterable[str], codes: int) -> Tokenizer:
    """Train the byte-level BPE on a corpus, then add the fixed tokens and `codes` image tokens, in that order."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(r" ?[A-Z]| ?[a-z]+|[0-9]| ?[^A-Za-z0-9]"), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=TEXT_TOKENS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
        min_frequency=2,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    image_tokens = [f"<|image_{code:04d}|>" for code in range(codes)]
    tokenizer.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False, single_word=token in (YES, NO))
            for token in (*FIXED, *image_tokens)
        ]
    )
    return tokenizer


class Vocabulary:
    """The token ids needed to build and read sequences, looked up once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        first_code = "<|image_0000|>"
        known: dict[str, int] = tokenizer.get_vocab()
        ids = {token: known[token] for token in (*FIXED, first_code)}
        self.pad, self.bos, self.eos = ids[PAD], ids[BOS], ids[EOS]
        self.assistant, self.modes = ids[ASSISTANT], {mode: ids[token] for mode, token in MODES.items()}
        self.chat, self.yes, self.no = ids[CHAT], ids[YES], ids[NO]
        self.think, self.end_think = ids[THINK], ids[END_THINK]
        self.image, self.end_image = ids[IMAGE], ids[END_IMAGE]
        self.look, self.end_look = ids[LOOK], ids[END_LOOK]
        self.reflect, self.end_reflect = ids[REFLECT], ids[END_REFLECT]
        self.rows = [ids[token] for token in ROWS]
        self.first_code = ids[first_code]
        self.corners = [known[corner(x, y)] for y in range(GRID) for x in range(GRID)]
        corners = {known[point] for point in CORNERS}
        self.words_and_corners = frozenset(corners | {token for token in known.values() if token < self.pad})
        self.size = tokenizer.get_vocab_size()

    def text_ids(self, text: str) -> list[int]:
        """Return the ids of words; text that looks like a control token becomes a space."""
        return list(self.tokenizer.encode(re.sub(r"<\|?/?[a-z_0-9]+\|?>", " ", text)).ids)

    def plan_ids(self, plan: str) -> list[int]:
        """Return the ids of a plan, in which control tokens mark things and boxes."""
        return list(self.tokenizer.encode(plan).ids)

    def image_ids(self, codes: Sequence[int]) -> list[int]:
        """Return the ids of an image, begin and end included."""
        drawn = [self.image]
        for row in range(GRID):
            drawn.append(self.rows[row])
            drawn += [self.first_code + code for code in codes[row * GRID : (row + 1) * GRID]]
        return [*drawn, self.end_image]

    def seen_ids(self, codes: Sequence[int]) -> list[int]:
        """Return the ids of an image in the reader's form: every code after the corner of its cell."""
        cells = (
            pair for point, code in zip(self.corners, codes, strict=True) for pair in (point, self.first_code + code)
        )
        return [self.image, *cells, self.end_image]

    @staticmethod
    def cell_position(x: int, y: int) -> int:
        """Return the index of a cell's token in `image_ids`."""
        return 1 + y * (GRID + 1) + 1 + x

    def prompt_ids(self, text: str, mode: str) -> list[int]:
        """Return the ids of a prompt up to where the model begins."""
        return [self.bos, self.modes[mode], *self.text_ids(text), self.assistant]

    def drawing_ids(self, text: str, mode: str) -> list[int]:
        """Return `prompt_ids`; a plan, such as a caption of this model, is passed as a thought after a short prompt.

        The model was never trained on a plan as a prompt, but follows one as a thought.
        """
        plan, things = read_plan(text)
        if not things:
            return self.prompt_ids(text, mode)
        names = [_name_thing(thing.phrase) for thing in things]
        words = f"a picture of {' and '.join(filter(None, (', '.join(names[:-1]), names[-1])))}"
        return [*self.prompt_ids(words, "think"), self.think, *self.plan_ids(plan), self.end_think]

    def chat_ids(self, text: str, images: Sequence[Sequence[int]]) -> list[int]:
        """Return the ids of a chat up to where the model begins: the words, then the codes of each image."""
        seen = [token for codes in images for token in self.seen_ids(codes)]
        return [self.bos, self.chat, *self.text_ids(text), *seen, self.assistant]

    def reflection_ids(self, text: str, plan: Sequence[int], codes: Sequence[int]) -> list[int]:
        """Return the ids of a prompt, its plan (ids, marks included) and its image."""
        return [*self.prompt_ids(text, "reflect"), *plan, *self.seen_ids(codes)]

    def answer_ids(self, plan: str | None, codes: Sequence[int]) -> list[int]:
        """Return the ids that the model should write: the thought if any, the image, the end of sequence."""
        thought = [] if plan is None else [self.think, *self.plan_ids(plan), self.end_think]
        return [*thought, *self.image_ids(codes), self.eos]


def _name_thing(phrase: str) -> str:
    """Return a phrase of a plan in the form of prompts: `a red star`, `the word "OPEN"`."""
    _, quote, word = phrase.partition('"')
    return f'the word "{word}' if quote else f"{article_of(phrase)} {phrase}"
