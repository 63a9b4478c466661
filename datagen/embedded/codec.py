"""The learned image tokenizer of the embedded model: encoder, finite scalar quantization, decoder.

A 96 x 96 picture becomes 36 codes, one for each 16 px cell in reading order. The encoder sees one cell at a time, so a
code depends on its cell alone and is easy to predict; the decoder is a small vision transformer over all cells, so it
can infer from neighbours what a code omits (mostly the background).

Only the grid points that pictures of this world use become image tokens (`keep_used`), which makes the vocabulary three
times smaller; other pictures get the nearest of them.

Quantization is FSQ (arXiv 2309.15505): each latent number is batch-normalised, bounded and rounded to a few levels,
with a straight-through gradient. Train it: `python -m datagen.workshop codec`.

A PNG file also stores the codes that its picture was decoded from, as text, because training needs the tokens that the
model wrote and encoding the picture does not recover them: of 1,332 cells that the shipped model generated, 8 % got
another code, nearly the same to the eye, and the model's loss on such images is 1.0 nats a token against 0.05 on its
own. The codes survive parquet, folders and tars, which keep the bytes of the file. A fingerprint of the image tokenizer
goes with them, since the codes of another one mean nothing.

Not covered: pictures of another size or world than `datagen.embedded.pictograms`; pictures that were re-encoded after
generation, which lose their codes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from datagen.embedded.pictograms import CELL_PX, GRID, IMAGE_PX
from datagen.errors import RunError
from datagen.picture_files import NOTE

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo


PATCH_VALUES = CELL_PX * CELL_PX * 3


@dataclass(frozen=True, slots=True)
class CodecConfig:
    """Shape of the image tokenizer; the product of `levels` is the number of grid points."""

    levels: tuple[int, ...] = (7, 5, 5, 5, 5)
    encoder_width: int = 384
    decoder_width: int = 160
    decoder_blocks: int = 1
    harmonics: int = 3

    @property
    def grid_size(self) -> int:
        """Number of points on the quantization grid: the product of the levels."""
        total = 1
        for level in self.levels:
            total *= level
        return total

    def to_dict(self) -> dict[str, object]:
        """Return the configuration as plain JSON values."""
        return {**asdict(self), "levels": list(self.levels)}


def split_cells(images: Tensor) -> Tensor:
    """Split pictures into cells: (B, H, W, 3) in [-1, 1] to (B, GRID * GRID, PATCH_VALUES)."""
    batch = images.shape[0]
    cells = images.reshape(batch, GRID, CELL_PX, GRID, CELL_PX, 3).permute(0, 1, 3, 2, 4, 5)
    return cells.reshape(batch, GRID * GRID, PATCH_VALUES)


def join_cells(cells: Tensor) -> Tensor:
    """Undo `split_cells`: (B, GRID * GRID, PATCH_VALUES) to (B, IMAGE_PX, IMAGE_PX, 3)."""
    batch = cells.shape[0]
    images = cells.reshape(batch, GRID, GRID, CELL_PX, CELL_PX, 3).permute(0, 1, 3, 2, 4, 5)
    return images.reshape(batch, IMAGE_PX, IMAGE_PX, 3)


class _Block(nn.Module):
    """Pre-norm transformer block over the cells of one picture."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.heads = max(1, width // 32)

    def forward(self, x: Tensor) -> Tensor:
        batch, cells, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(batch, cells, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, cells, width))
        result: Tensor = x + self.mlp(self.norm2(x))
        return result


class ImageCodec(nn.Module):
    """Encodes pictures (B, 96, 96, 3), floats in [-1, 1], to codes (B, 36), int64 in [0, codes), and decodes them."""

    levels: Tensor
    strides: Tensor
    book: Tensor
    nearest: Tensor

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        dims = len(config.levels)
        self.encoder = nn.Sequential(
            nn.Linear(PATCH_VALUES, config.encoder_width),
            nn.GELU(),
            nn.Linear(config.encoder_width, config.encoder_width),
            nn.GELU(),
            nn.Linear(config.encoder_width, dims),
        )
        self.norm = nn.BatchNorm1d(dims, affine=False)
        width = config.decoder_width
        self.lift = nn.Sequential(
            nn.Linear(dims * (1 + 2 * config.harmonics), 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.position = nn.Parameter(torch.randn(GRID * GRID, width) * 0.02)
        self.blocks = nn.Sequential(*[_Block(width) for _ in range(config.decoder_blocks)])
        self.head = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, PATCH_VALUES)
        )
        levels = torch.tensor(config.levels)
        strides = torch.cumprod(torch.tensor([1, *config.levels[:-1]]), 0)
        self.register_buffer("levels", levels, persistent=False)
        self.register_buffer("strides", strides, persistent=False)
        self.set_book(torch.arange(config.grid_size))

    @property
    def codes(self) -> int:
        """Number of distinct image tokens."""
        return int(self.book.numel())

    def set_book(self, book: Tensor) -> None:
        """Use the grid points `book` (codes,), ascending, as image tokens; other points map to the nearest of them."""
        points = self._digits(torch.arange(self.config.grid_size)).float()
        nearest = torch.cdist(points, points[book]).argmin(-1)
        self.register_buffer("book", book)
        self.register_buffer("nearest", nearest, persistent=False)

    def keep_used(self, images: Tensor) -> None:
        """Reduce the image tokens to the grid points that these pictures use."""
        with torch.no_grad():
            used = torch.cat([self.encode(part).unique() for part in images.split(256)])
        self.set_book(self.book[used.unique()])

    def _digits(self, points: Tensor) -> Tensor:
        return points.unsqueeze(-1) // self.strides % self.levels

    def _latents(self, images: Tensor) -> Tensor:
        raw = self.encoder(split_cells(images))
        normed = self.norm(raw.flatten(0, 1)).reshape(raw.shape)
        # tanh(0.8 z) is almost the distribution function of a unit normal, so all levels are used about equally.
        return torch.tanh(normed * 0.8) * (self.levels - 1) / 2

    def quantize(self, images: Tensor) -> Tensor:
        """Return the rounded latents with a straight-through gradient: (B, 36, dims), whole numbers centred on 0."""
        half = (self.levels - 1) / 2
        latents = self._latents(images)
        rounded = torch.round(latents + half) - half
        return latents + (rounded - latents).detach()  # the value of `rounded`, the gradient of `latents`

    def add_noise(self, images: Tensor) -> Tensor:
        """Return the latents with uniform noise of one rounding step instead of rounding: (B, 36, dims)."""
        latents = self._latents(images)
        return latents + torch.rand_like(latents) - 0.5

    def encode(self, images: Tensor) -> Tensor:
        """Return the codes of pictures: (B, 36) int64."""
        digits = torch.round(self.quantize(images) + (self.levels - 1) / 2).long()
        return self.nearest[(digits * self.strides).sum(-1)]

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Decode rounded latents (B, 36, dims) to pictures (B, 96, 96, 3), about [-1, 1]."""
        unit = latents / ((self.levels - 1) / 2)
        waves = [unit]  # sines and cosines tell neighbouring levels apart better than one number does
        for k in range(1, self.config.harmonics + 1):
            waves += [torch.sin(k * torch.pi * unit), torch.cos(k * torch.pi * unit)]
        x = self.lift(torch.cat(waves, dim=-1)) + self.position
        return join_cells(self.head(self.blocks(x)))

    def decode(self, codes: Tensor) -> Tensor:
        """Decode codes (B, 36) to pictures (B, 96, 96, 3) uint8 RGB."""
        digits = self._digits(self.book[codes])
        images = self.decode_latents(digits - (self.levels - 1) / 2)
        return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


KEY = NOTE
"""Keyword of the text chunk with the fingerprint of the image tokenizer and the codes in reading order. A picture keeps
no other text."""


def fingerprint(codec: ImageCodec) -> str:
    """Return 16 hex digits that identify an image tokenizer: a hash of its weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(codec.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def note_codes(tokenizer: str, codes: Sequence[int]) -> PngInfo:
    """Return the PNG text chunk with the codes and the fingerprint of their image tokenizer, for PIL to write."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text(KEY, " ".join([tokenizer, *map(str, codes)]))
    return info


def read_codes(picture: Any, tokenizer: str) -> list[int]:
    """Return the codes that a PIL image was decoded from.

    Raises RunError if it has none, or if their image tokenizer has another fingerprint.
    """
    made_by, *codes = str(picture.info.get(KEY, "")).split() or [""]
    if not codes:
        hint = "only pictures of the embedded model have them; those of an older datagen: build the run again"
        raise RunError("its picture does not store the image tokens it was decoded from", hint=hint)
    if made_by != tokenizer:
        hint = "train from the checkpoint that made the samples, or from one with the same codec/"
        raise RunError(f"its picture is of the image tokenizer {made_by}, the checkpoint has {tokenizer}", hint=hint)
    return [int(code) for code in codes]
