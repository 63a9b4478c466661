"""Tokens that no text for a model or a trainer may contain: control tokens, and tags for pictures.

A tokenizer turns `<|im_end|>` in a prompt into the token that ends a turn, and a trainer puts the next picture where a
text says `<image>`, whoever wrote it there. This is the only list of both. Control tokens are refused in taxonomies,
templates, lexicons, prompts, rewrites and exports for every model, since any model may read the data. Tags matter only
to the formats in `MEDIA_TAGS`: `datagen check` warns of them, and an export in such a format refuses them.

The model writes layouts in GoT's markup (`datagen.markup`) on purpose: the marks in `LAYOUT` are allowed in exports,
where a caption can be the prompt of another task, but not in texts that people write.

Sources: tokenizer_config.json and added_tokens.json of the models named below; LLaMA-Factory 0.9.5 extras/constants.py,
ms-swift 4.6 template/base.py, verl 0.9.1 utils/dataset/rl_dataset.py, the constants of InternVL for SenseNova-U1.
Not covered: picture tokens without marks around them, and lookalike letters that imitate a token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from datagen.documents.reading import show
from datagen.markup import MARKS

LAYOUT = MARKS
"""GoT's markup of objects and their boxes; `<|box_start|>` and `<|box_end|>` are also control tokens of Qwen2-VL."""
SHAPES = (
    r"<\|[^<>|\n]{1,60}\|>",  # Qwen, BAGEL, Emu3, Llama 3, Phi, Show-o, GPT: <|im_end|>, <|image start|>, <|soi|>
    r"<｜[^<>｜\n]{1,60}｜>",  # DeepSeek: <｜end▁of▁sentence｜>
    r"<extra_id_\d{1,3}>",  # T5
    r"<(?:unused|reserved_special_token_)\d{1,4}>",  # Gemma
)
"""Patterns of model families whose control tokens have a form that plain text never has."""
TOKENS: Mapping[str, tuple[str, ...]] = {
    "Llama 2, Mistral": ("<s>", "</s>", "<unk>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "[SYSTEM_PROMPT]"),
    "Pixtral": ("[IMG]", "[IMG_BREAK]", "[IMG_END]"),
    "Gemma": ("<pad>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<image_soft_token>"),
    "Janus, DeepSeek-VL": ("<image_placeholder>", "<begin_of_image>", "<end_of_image>", "<patch_placeholder>"),
    "LLaVA, VILA-U": ("<im_start>", "<im_end>", "<im_patch>"),
    "Chameleon, Lumina": ("<racm3:break>", "<eoss>"),
    "SEED, Show-o": ("<boi>", "<eoi>"),
    "Qwen3, DeepSeek-R1": ("<think>", "</think>", "<tool_call>", "</tool_call>"),
}
"""Control tokens without a common pattern, by the models whose tokenizers have them."""
MEDIA = ("<image>", "<video>", "<audio>")
MEDIA_TAGS: Mapping[str, tuple[str, ...]] = {
    "llamafactory": MEDIA,
    "ms_swift": (*MEDIA, "<bbox>", "<ref-object>", "<cot-process>", "<start-image>"),
    "verl": MEDIA,
    "sensenova": (
        *("<image>", "<img>", "</img>", "<IMG_CONTEXT>"),
        *("<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>"),
    ),
}
"""Tags that a format's trainer reads as picture, video, audio or place in a picture, by the format's word."""

_LISTED = sorted((re.escape(token) for tokens in TOKENS.values() for token in tokens), key=len, reverse=True)
_TOKEN = re.compile("|".join((*SHAPES, *_LISTED)))
_TAG = re.compile("|".join(sorted({re.escape(tag) for tags in MEDIA_TAGS.values() for tag in tags})))


def find_token(text: str, allowed: tuple[str, ...] = ()) -> str:
    """Return the first control token in a text that is not `allowed`, or `""`."""
    return next((found for found in _TOKEN.findall(text) if found not in allowed), "")


def refuse_tokens(text: str) -> str:
    """Return the text; raises ValueError naming the first control token in it."""
    if token := find_token(text):
        raise ValueError(f"{show(text)} holds {token!r}, which language models read as a control token and not as text")
    return text


def find_tag(text: str) -> str:
    """Return the first tag in a text that some format reads as media, or `""`."""
    found = _TAG.search(text)
    return found.group() if found else ""


def explain_tag(tag: str) -> tuple[str, str]:
    """Return what is wrong with a text that contains a tag, and what to do."""
    formats = [name for name, tags in MEDIA_TAGS.items() if tag in tags]
    hint = "what says it can be exported in other formats, or left out there with `skip: true`"
    return f"holds {tag!r}, which the trainers of {', '.join(formats)} take for media", hint
