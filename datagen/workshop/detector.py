"""Train the learned detector to name each part of a picture, its colour and its box.

The loss is the cross-entropy of names and of tones, and the smoothed absolute error of boxes. Every picture is new. The
shipped weights are `detector.safetensors` of the folder after the last step.

Half of the pictures are true scenes in which, mostly, rectangles of cells come from another scene, as if a model had
generated wrong tokens; some of them pass through the image tokenizer, which decodes each cell from its token. The other
half have objects of `SIDES_PX` anywhere, also over each other and over the border, some partly erased or in two
colours, and blots. Then all pictures get blur, noise, a change of brightness and stains, and are cut into parts as the
detector does.

Each pixel of ink belongs to the object rendered there last. A part is an object if it contains `WHOLE` of the object's
ink and `PURE` of the part's ink is the object's; it has no name below `BROKEN` or `IMPURE`. Parts between these limits
are ambiguous and not trained on.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, smooth_l1_loss

from datagen.embedded.codec import ImageCodec
from datagen.embedded.loading import load_codec
from datagen.embedded.pictograms import (
    BACKGROUNDS,
    CELL_PX,
    COLORS,
    GRID,
    IMAGE_PX,
    MARGIN_PX,
    SHAPES,
    Item,
    Mark,
    Scene,
    letter_mask,
    mark_mask,
    render_scene,
    shape_mask,
)
from datagen.embedded.world import lay_out, random_scene
from datagen.records import Claim
from datagen.training.state import Muon, Schedule, TrainingState, split_parameters
from datagen.vision.parts import MIXED, NAMES, SOMETHING, TONES, Part, PartNet, cut_parts, load_net, save_net, stack


def train_detector(
    out: Path, *, codec: Path, steps: int, batch: int, seed: int, init: Path | None, save_every: int
) -> PartNet:
    """Train for `steps` in all, continuing from `out/state.pt` if it exists, and write `out/detector.safetensors`.

    `codec` is a folder with an image tokenizer, `init` a file of weights to start from.
    """
    torch.manual_seed(seed)
    redraws = load_codec(codec)
    net = load_net(init) if init else PartNet()
    matrices, rest = split_parameters(net, ("head",))
    optimizers = [Muon(matrices, lr=0.02), torch.optim.AdamW(rest, lr=2e-3, betas=(0.9, 0.98), weight_decay=0.0)]
    schedule = Schedule(optimizers, steps, decay=0.7)
    state = TrainingState(out, net, optimizers)
    for step in range(state.restore(), steps):
        schedule.set(step)
        given = make_batch(seed, step, batch, redraws)
        names, tones, boxes = net.train()(given.pixels, given.extras)
        known = given.tones != IGNORED  # parts without a name have no box to learn either
        loss = (
            cross_entropy(names, given.names)
            + 0.3 * cross_entropy(tones, given.tones, ignore_index=IGNORED)
            + 2 * smooth_l1_loss(boxes[known], given.boxes[known], beta=0.05)
        )
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        if (step + 1) % 50 == 0:
            state.log(
                step + 1,
                loss=loss.item(),
                right=(names.argmax(-1) == given.names).float().mean().item(),
                seen=(step + 1) * batch,
            )
        if (step + 1) % save_every == 0 or step + 1 == steps:
            state.save(step + 1)
            save_net(net, out / "detector.safetensors")
    return net.eval()


WHOLE, BROKEN = 0.9, 0.7
"""Least share of an object's ink in a part that is the object, and the share below which it is not."""
PURE, IMPURE = 0.97, 0.93
"""Least share of a part's ink from one object if it is that object, and the share below which it is not."""
SIDES_PX = (14, 64)
"""Range of the sides of objects outside cells, without margins."""
IGNORED = -100
"""Label without effect on the loss."""
_LEAST_INK = 0.4
"""Least share of rendered ink among a part's pixels; below it the part is a stain."""
_ANYWHERE = 0.5
"""Share of pictures with objects outside cells."""
_FOREIGN = 0.04
"""Share of the pictures in cells without an object of this world."""
_SPLICED = 0.6
"""Share of the pictures in cells that contain cells of another picture."""
_REDRAWN = 0.5
"""Share of the pictures in cells that pass through the image tokenizer."""
_NUMBERS = {name: number for number, name in enumerate(NAMES)}
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Piece:
    """An object, a letter or a blot: its name, its colour, its box in pixels, and its ink in pixels."""

    name: str
    color: str
    box: Box
    ink: int


@dataclass(slots=True)
class Rendered:
    """A picture (96, 96, 3) float32, the index of each pixel's piece (96, 96), -1 for none, and the pieces."""

    picture: np.ndarray
    owners: np.ndarray
    pieces: list[Piece]


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs of the network for B parts, and their targets: names (B,), tones (B,) and boxes (B, 4).

    Names and tones are int64. For a part without a name the tone is `IGNORED` and the box, in the network's units, NaN.
    """

    pixels: Tensor
    extras: Tensor
    names: Tensor
    tones: Tensor
    boxes: Tensor


def make_batch(seed: int, step: int, size: int, codec: ImageCodec) -> Batch:
    """Return the parts of the `size` pictures of batch number `step`; a pure function of its arguments."""
    rng, noise = random.Random(f"{seed}/{step}"), np.random.default_rng([seed, step])
    anywhere = round(size * _ANYWHERE)
    in_cells = _splice([_render_in_cells(rng) for _ in range(size - anywhere)], rng)
    _redraw(in_cells, codec, rng)
    drawn = in_cells + [_render_anywhere(rng) for _ in range(anywhere)]
    pictures = _spoil(torch.from_numpy(np.stack([one.picture for one in drawn])), noise).numpy()
    taught = [
        (part, what)
        for one, picture in zip(drawn, pictures, strict=True)
        for part in cut_parts(picture)
        if (what := label(part, one.owners, one.pieces)) is not None
    ]
    pixels, extras = stack([part for part, _ in taught])
    names, tones, boxes = zip(*(what for _, what in taught), strict=True)
    return Batch(pixels, extras, torch.tensor(names), torch.tensor(tones), torch.tensor(boxes, dtype=torch.float32))


def label(part: Part, owners: np.ndarray, pieces: Sequence[Piece]) -> tuple[int, int, Box] | None:
    """Return the indices of name and tone and the box of a part, given the pieces of its picture; None if ambiguous."""
    nameless = _NUMBERS[SOMETHING], IGNORED, (float("nan"),) * 4
    own = owners[part.place][part.inside]
    inked = own[own >= 0]
    if len(inked) < _LEAST_INK * len(own):
        return nameless
    amounts = np.bincount(inked)
    number = int(amounts.argmax())
    piece, whole, pure = pieces[number], amounts[number] / pieces[number].ink, amounts[number] / len(inked)
    if piece.name == SOMETHING or whole < BROKEN or pure < IMPURE:
        return nameless
    if whole < WHOLE or pure < PURE:
        return None
    x, y, side = part.square
    x1, y1, x2, y2 = piece.box
    box = ((x1 - x) / side, (y1 - y) / side, (x2 - x) / side, (y2 - y) / side)
    return _NUMBERS[piece.name], TONES.index(piece.color), box


def own_scene(scene: Scene) -> Rendered:
    """Render a scene, with its objects, letters and marks as pieces in the order of rendering."""
    owners = np.full((IMAGE_PX, IMAGE_PX), -1)
    pieces: list[Piece] = []
    for name, color, box, mask in _list_masks(scene):
        _own(owners, mask, int(box[0]), int(box[1]), len(pieces))
        pieces.append(Piece(name, color, box, int((mask >= 0.5).sum())))
    for mark in scene.marks:
        _own(owners, mark_mask(mark), mark.x_px, mark.y_px, len(pieces))
        pieces.append(_make_piece(mark))
    return Rendered(render_scene(scene).astype(np.float32), owners, pieces)


def _render_in_cells(rng: random.Random) -> Rendered:
    scene = _lay_out(rng)
    drawn = own_scene(scene)
    return drawn if scene.items else _render_foreign(drawn.picture, rng)


def _lay_out(rng: random.Random) -> Scene:
    """Return a crowded scene, a scene like those of prompts, or an empty one."""
    if rng.random() < _FOREIGN:
        return Scene(rng.choice(list(BACKGROUNDS)), ())
    if rng.random() < 0.5:
        return random_scene(rng)
    if rng.random() < 0.2:
        word = "".join(rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(rng.randint(1, GRID)))
        return lay_out([Claim("text", "", "", word)], rng)
    kinds = rng.sample(list(SHAPES), rng.choice((1, 1, 2)))
    return lay_out([Claim("count", kind, "", rng.randint(1, 6 // len(kinds) - 1)) for kind in kinds], rng)


def _list_masks(scene: Scene) -> Iterator[tuple[str, str, Box, np.ndarray]]:
    """Yield name, colour, box in pixels and mask of each object and letter in cells."""
    for item in scene.items:
        if not item.word:
            side = CELL_PX * (item.x2 - item.x1)
            mask = np.pad(shape_mask(item.kind, side - 2 * MARGIN_PX), MARGIN_PX)
            yield item.kind, item.color, _corners(item, 0, side), mask
        for k, letter in enumerate(item.word):
            yield letter, item.color, _corners(item, k * CELL_PX, CELL_PX), letter_mask(letter)


def _corners(item: Item, shift: int, width: int) -> Box:
    x = CELL_PX * item.x1 + shift
    return x, CELL_PX * item.y1, x + width, CELL_PX * item.y2


def _own(owners: np.ndarray, mask: np.ndarray, x: int, y: int, number: int) -> None:
    """Write a number where a mask with its corner at (x, y) has ink, clipped to the canvas."""
    top, left, bottom, right = max(0, y), max(0, x), min(IMAGE_PX, y + len(mask)), min(IMAGE_PX, x + mask.shape[1])
    if top < bottom and left < right:
        owners[top:bottom, left:right][mask[top - y : bottom - y, left - x : right - x] >= 0.5] = number


def _render_foreign(picture: np.ndarray, rng: random.Random) -> Rendered:
    """Return cells of random colours, noise, or an empty picture with up to four blots."""
    kind = rng.random()
    noise = np.random.default_rng(rng.getrandbits(32))
    everywhere = np.zeros((IMAGE_PX, IMAGE_PX), int)
    if kind < 0.1:
        cells = noise.uniform(0, 255, (GRID, GRID, 3)).astype(np.float32)
        return Rendered(cells.repeat(CELL_PX, 0).repeat(CELL_PX, 1), everywhere, [_make_blot(everywhere)])
    if kind < 0.2:
        values = noise.uniform(0, 255, (IMAGE_PX, IMAGE_PX, 3)).astype(np.float32)
        return Rendered(values, everywhere, [_make_blot(everywhere)])
    drawn = Rendered(picture, np.full((IMAGE_PX, IMAGE_PX), -1), [])
    for _ in range(rng.choice((0, 1, 2, 3, 4))):
        _blot(drawn, rng)
    return drawn


def _make_blot(mask: np.ndarray) -> Piece:
    return Piece(SOMETHING, MIXED, (0, 0, 0, 0), max(1, int((mask >= 0).sum())))


def _blot(drawn: Rendered, rng: random.Random) -> None:
    """Render an ellipse, a rectangle (either may be hollow) or a random polygon in one of the ten colours."""
    side = rng.randint(12, 46)
    x, y = rng.randint(-side // 3, IMAGE_PX - side), rng.randint(-side // 3, IMAGE_PX - side)
    corners = [(x + rng.randint(0, side), y + rng.randint(0, side)) for _ in range(rng.randint(3, 7))]
    box = (x, y, x + side, y + rng.randint(6, side))
    hollow = {"fill": 0, "outline": 255, "width": rng.randint(3, 8)} if rng.random() < 0.3 else {"fill": 255}
    sheet = Image.new("L", (IMAGE_PX, IMAGE_PX), 0)
    shape = rng.choice(("ellipse", "rectangle", "polygon"))
    if shape == "polygon":
        ImageDraw.Draw(sheet).polygon(corners, fill=255)
    else:
        getattr(ImageDraw.Draw(sheet), shape)(box, **hollow)
    mask = np.asarray(sheet) > 0
    drawn.picture[mask] = COLORS[rng.choice(list(COLORS))]
    drawn.owners[mask] = len(drawn.pieces)
    drawn.pieces.append(_make_blot(np.where(mask, 0, -1)))


def _splice(scenes: Sequence[Rendered], rng: random.Random) -> list[Rendered]:
    """Copy rectangles of cells from another picture, mostly of the same background, into most pictures."""
    ordered = sorted(scenes, key=lambda one: one.picture[0, 0].tolist())
    mixed = []
    for k, own in enumerate(ordered):
        other = ordered[k - 1]
        chosen = choose_cells(rng)
        shifted = np.where(other.owners >= 0, other.owners + len(own.pieces), -1)
        picture = np.where(chosen[..., None], other.picture, own.picture)
        mixed.append(Rendered(picture, np.where(chosen, shifted, own.owners), own.pieces + other.pieces))
    return mixed


def choose_cells(rng: random.Random) -> np.ndarray:
    """Return a mask (96, 96) bool of pixels from the other picture: up to three rectangles of cells, or none."""
    chosen = np.zeros((GRID, GRID), bool)
    for _ in range(rng.randint(1, 3) if rng.random() < _SPLICED else 0):
        width, height = rng.randint(1, 3), rng.randint(1, 3)
        x, y = rng.randint(0, GRID - width), rng.randint(0, GRID - height)
        chosen[y : y + height, x : x + width] = True
    return chosen.repeat(CELL_PX, 0).repeat(CELL_PX, 1)


def _render_anywhere(rng: random.Random) -> Rendered:
    """Return a picture of up to six marks and two blots anywhere; some touch, overlap or cross the border."""
    background = rng.choice(list(BACKGROUNDS))
    kinds = rng.sample(list(SHAPES), rng.choice((1, 2, 12)))
    most = rng.choice((26, 34, 64))
    marks: list[Mark] = []
    for _ in range(rng.randint(1, 6)):
        mark = _make_mark(rng, rng.choice(kinds), most)
        if rng.random() < 0.25 or all(_stand_apart(mark, other) for other in marks):
            marks.append(mark)
    drawn = own_scene(Scene(background, (), tuple(marks)))
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        _blot(drawn, rng)
    return drawn


def _make_mark(rng: random.Random, kind: str, most: int) -> Mark:
    side = rng.randint(SIDES_PX[0], most)
    low, high = (-side // 2, IMAGE_PX - side // 2) if rng.random() < 0.2 else (-3, IMAGE_PX - side + 3)
    x, y = rng.randint(low, high), rng.randint(low, high)
    left = rng.uniform(0.3, 0.85) if rng.random() < 0.15 else 1.0
    color = rng.choice(list(COLORS))
    other = rng.choice([name for name in COLORS if name != color]) if rng.random() < 0.2 else ""
    return Mark(kind, color, x, y, side, left, other, rng.randrange(4))


def _stand_apart(mark: Mark, other: Mark) -> bool:
    return (
        mark.x_px >= other.x_px + other.side_px
        or other.x_px >= mark.x_px + mark.side_px
        or mark.y_px >= other.y_px + other.side_px
        or other.y_px >= mark.y_px + mark.side_px
    )


def _make_piece(mark: Mark) -> Piece:
    x, y, side = mark.x_px, mark.y_px, mark.side_px
    box = (x - MARGIN_PX, y - MARGIN_PX, x + side + MARGIN_PX, y + side + MARGIN_PX)
    return Piece(mark.kind, MIXED if mark.other else mark.color, box, int((shape_mask(mark.kind, side) >= 0.5).sum()))


def _redraw(drawn: Sequence[Rendered], codec: ImageCodec, rng: random.Random) -> None:
    """Pass a share of the pictures through the image tokenizer."""
    chosen = [one for one in drawn if rng.random() < _REDRAWN]
    if chosen:
        pictures = torch.from_numpy(np.stack([one.picture for one in chosen])) / 127.5 - 1
        with torch.no_grad():
            redrawn = codec.decode(codec.encode(pictures)).float().numpy()
        for one, picture in zip(chosen, redrawn, strict=True):
            one.picture = picture


def _spoil(pictures: Tensor, noise: np.random.Generator) -> Tensor:
    """Add blur, stains, tint and dust to pictures (B, 96, 96, 3), 0..255, each by its own random amount."""
    size = len(pictures)

    def draw(low: float, high: float, shape: Sequence[int] = (1, 1, 1)) -> Tensor:
        return torch.from_numpy(noise.uniform(low, high, (size, *shape)).astype(np.float32))

    dust = torch.from_numpy(noise.standard_normal(pictures.shape, np.float32))
    pictures = pictures + draw(0, 1) * (_blur(pictures) - pictures)
    stains = draw(-15, 15, (GRID, GRID, 3)).repeat_interleave(CELL_PX, 1).repeat_interleave(CELL_PX, 2)
    strength = draw(0, 1) * (draw(0, 1) < 0.7)
    pictures = pictures * (1 + draw(-0.1, 0.1) * strength) + strength * (draw(-15, 15, (1, 1, 3)) + draw(0, 1) * stains)
    pictures = pictures + strength * draw(0, 14) * dust
    return pictures.round().clamp(0, 255)


def _blur(pictures: Tensor) -> Tensor:
    """Blur pictures (B, H, W, 3) with a Gaussian of 1 px, repeating edge pixels."""
    weights = torch.exp(-(torch.arange(-3.0, 4.0) ** 2) / 2)
    weights = (weights / weights.sum()).expand(3, 1, 1, 7)
    padded = nn.functional.pad(pictures.permute(0, 3, 1, 2), (3, 3, 3, 3), mode="replicate")
    rows = nn.functional.conv2d(padded, weights, groups=3)
    return nn.functional.conv2d(rows, weights.transpose(2, 3), groups=3).permute(0, 2, 3, 1)
