"""Hashes of the code and models behind a run: the user's own modules and the model files that the recipe names.

The recipe names these files but does not contain them. A run notes their hashes and refuses to continue with others: if
a scorer changes from 0.5 to 0.9, half of the run would have either score. For packages that read pictures and run
models it notes the versions and reports changes.

Not covered: models behind an address or by a hub name, data files that a module reads, modules imported by computed
names. Shipped plugins change with the version of datagen.
"""

from __future__ import annotations

import glob
import hashlib
import importlib.metadata
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from datagen.config import Choice, Makers, Recipe
from datagen.errors import ConfigError
from datagen.filesystems import hash_file
from datagen.plugins import HERE, list_sources, read_source
from datagen.records import hash_of
from datagen.sources import open_pictures

READERS = ("rapidocr", "onnxruntime", "opencv-python", "opencv-python-headless")
PACKAGES = ("datagen", "torch", "transformers", "pyarrow", "numpy", "pillow", *READERS)
"""Packages whose versions a run notes, since they can change pictures, scores or files. `READERS` only affect scores:
after a full rescore, only their latest version counts."""
FOLDER_KEYS = ("model", "checkpoint", "tokenizer", "processor", "images", "color_model", "weights", "adapter")
"""Options whose value may be a folder that affects results; any other folder may be a cache, which grows."""

BESIDE = (".yaml", ".yml", ".json", ".txt", ".data", ".onnx_data")
"""Suffixes of files that belong to a model file of the same stem, such as the names of its classes."""


def list_makers(recipe: Recipe) -> dict[str, dict[str, str]]:
    """Return the hash of each module and model file that a recipe names, by stage and by name.

    The key of a user's module, and of each module that it imports from its project, is the file's path in the project;
    that of a model file or folder is the option that names it. What the running notebook or script defines has its word
    and the hash of its own source alone.
    """
    expand = recipe.to_dict()["expand"] or {}
    expander = expand.get("backend") or (recipe.backend.model_dump() if expand else None)
    adapt = recipe.adapt
    named: dict[str, tuple[Sequence[str], Mapping[str, Any]]] = {
        "prompts": ((), ({"expand.backend": expander} if expander else {}) | _finder(recipe)),
        "samples": (
            adapt.by if adapt else (),
            _choices(recipe, "backend", *(["detector"] if adapt else [])) | _guard(recipe),
        ),
        "scores": (
            [choice.name for choice in recipe.scorers.values()],
            _choices(recipe, "detector", "judge", "drawer", "encoders", "matchers")
            | {f"scorers.{name}": choice.options for name, choice in recipe.scorers.items() if choice.options},
        ),
    }
    found = {stage: dict(_hash_named(words, choices)) for stage, (words, choices) in named.items()}
    found["samples"] |= _hash_known(recipe)
    return {stage: dict(sorted(hashes.items())) for stage, hashes in found.items()}


def _hash_known(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Yield (key and place, hash) of each place with pictures of a benchmark that can be read."""
    for place in recipe.contamination_images.paths if recipe.contamination_images else ():
        with suppress(ConfigError):
            yield f"contamination_images: {place}", open_pictures(place).fingerprint()


def _guard(recipe: Recipe) -> dict[str, Any]:
    """Return the encoder that compares pictures with those of a benchmark, by its key, if the recipe has one."""
    features = recipe.contamination_images.features if recipe.contamination_images else None
    return {"contamination_images.features.encoder": features.encoder.model_dump()} if features else {}


def _finder(recipe: Recipe) -> dict[str, Any]:
    """Return the model that finds claims, by its key, if the recipe has one."""
    find = recipe.source.find if recipe.source else None
    return {"source.find.backend": (find.backend or recipe.backend).model_dump()} if find else {}


def list_code(recipe: Recipe) -> list[Path]:
    """Return the packages and modules of the user's own that a recipe names, as folders and files."""
    found: dict[Path, None] = {}
    for word in _list_plugins(recipe):
        for label, path in list_sources(word).items():
            depth = len(Path(label).parts) - 1
            found[path.parents[depth - 1] if depth else path] = None
    return list(found)


def list_here(recipe: Recipe) -> list[str]:
    """Return the names of what the running notebook or script defines and other processes cannot import."""
    return [word.removeprefix(HERE) for word in dict.fromkeys(_list_plugins(recipe)) if word.startswith(HERE)]


def _list_plugins(recipe: Recipe) -> list[str]:
    """Return the words of a recipe that name scorers and models, in the recipe and in the options of others."""
    words = [choice.name for choice in recipe.scorers.values()]
    words += [*(recipe.adapt.by if recipe.adapt else ()), *_list_words(recipe.to_dict().get("expand") or {})]
    words += [word for choice in (_finder(recipe) | _guard(recipe)).values() for word in _list_words(choice)]
    for choice in _choices(recipe, "backend", "detector", "judge", "drawer", "encoders", "matchers").values():
        words += _list_words(choice)
    return words


def _choices(recipe: Recipe, *keys: str) -> dict[str, Any]:
    """Return the plugins under some recipe keys as plain values; lists and mappings give one entry per item."""
    found: dict[str, Any] = {}
    for key in keys:
        value = getattr(recipe, key)
        if isinstance(value, Choice):
            found[key] = value.model_dump()
        elif isinstance(value, Mapping):
            found |= {f"{key}.{name}": choice.model_dump() for name, choice in value.items()}
        else:
            found |= {f"{key}.{number}": choice.model_dump() for number, choice in enumerate(value or ())}
    return found


def _hash_named(words: Sequence[str], choices: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (name, hash) of the files behind scorer words and plugin choices."""
    for key, choice in choices.items():
        words = [*words, *_list_words(choice)]
        yield from ((f"{key}{option}", digest) for option, digest in _hash_options(choice))
    for word in dict.fromkeys(words):
        if word.startswith(HERE) and (source := read_source(word)):
            yield word, hash_of(source)
        for label, path in list_sources(word).items():
            yield label, hash_file(path)


def _list_words(choice: Any) -> Iterator[str]:
    """Yield the word of a plugin, and the words of plugins nested in its options."""
    if isinstance(choice, str):
        yield choice
    elif isinstance(choice, Mapping):
        if isinstance(name := choice.get("name"), str):
            yield name
        for key, value in choice.items():
            if isinstance(value, Mapping) or (key == "model" and choice.get("name") == "gallery"):
                yield from _list_words(value)


def _hash_options(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield (`.option: value`, hash) for each option that is the path of a file or a model folder.

    Files with the same stem beside it are part of the hash.
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _hash_options(inner, f"{place}.{key}")
    elif isinstance(value, str) and place and "\0" not in value and os.access(value, os.R_OK):
        path = Path(value)
        if path.is_file():
            beside = (
                each
                for each in path.parent.glob(f"{glob.escape(path.stem)}.*")
                if each.suffix in BESIDE and each != path
            )
            yield f"{place}: {value}", _hash_files([path, *sorted(beside)])
        elif path.is_dir() and place.rpartition(".")[2] in FOLDER_KEYS:
            yield f"{place}: {value}", _hash_files(_list_folder(path), path)


def _list_folder(folder: Path) -> list[Path]:
    """Return the files of a model folder in order, without hidden files and the state of a training."""
    found = (path for path in folder.rglob("*") if path.is_file() and os.access(path, os.R_OK))
    kept = (path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return sorted(path for path in kept if path.name not in ("state.pt", "log.jsonl", "loss.svg"))


def _hash_files(paths: Sequence[Path], folder: Path | None = None) -> str:
    digest = hashlib.sha256()
    for path in paths:
        name = path.relative_to(folder).as_posix() if folder else path.suffix
        digest.update(f"{name} {hash_file(path)}\n".encode())
    return digest.hexdigest()[:16]


def find_changes(old: Makers, new: Makers, stages: Sequence[str]) -> list[str]:
    """Return a phrase for each maker of some stages that changed, was added or was removed.

    Files named in options are reported only if they changed: an added file did not exist when the run began, so it is a
    marker or a cache; a missing one makes its plugin fail by itself.
    """
    found = []
    for stage in stages:
        before, after = old.get(stage, {}), new.get(stage, {})
        for name in sorted({*before, *after}):
            if name in before and name in after:
                found += [name] if before[name] != after[name] else []
            elif ": " not in name:
                found.append(f"{name} is {'gone' if name in before else 'new'}")
    return list(dict.fromkeys(found))


def read_versions() -> dict[str, str]:
    """Return the versions of the installed packages of `PACKAGES`."""
    return {name: importlib.metadata.version(name) for name in PACKAGES if _is_installed(name)}


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def find_newer(noted: Mapping[str, str], now: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return (last noted version, installed version) of each package that differs."""
    last = {name: versions.rpartition(", ")[2] for name, versions in noted.items()}
    return {name: (last[name], version) for name, version in now.items() if name in last and last[name] != version}
