"""From a word in a YAML file to the module that does it: the word is the module's name, there is no registry.

`counting` in `rewards:` is `datagen/rewards/counting.py`; `my_pkg.sharpness` is a module of the user's own. A leading
`_` in a family folder means "not a plugin".
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from datagen.errors import PluginError, did_you_mean

MODEL_FAMILIES = ("detectors", "encoders", "matchers")
"""Families of models that stand in the folder of the scorers which see through them."""


def known_words(family: str) -> list[str]:
    """Return the shipped plugin names of a family (`backends`, `rewards`, `rewards.detectors`, …), sorted."""
    package = importlib.import_module(f"datagen.{family}")
    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    return sorted(name for name in names if not name.startswith("_") and name not in MODEL_FAMILIES)


def load_plugin(family: str, word: str, needs: str) -> ModuleType:
    """Import the module that `word` names and check that it has the attribute `needs`.

    Raises PluginError for an unknown word, a module that fails to import, or one without `needs`.
    """
    known = known_words(family)
    if "." not in word and word not in known:
        raise PluginError(f"no {family} named {word!r}", hint=did_you_mean(word, known))
    name = word if "." in word else f"datagen.{family}.{word}"
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise PluginError(
            f"{family} {word!r} cannot be imported: {error}", hint=f"is {name!r} on PYTHONPATH?"
        ) from error
    if not hasattr(module, needs):
        raise PluginError(f"{family} {word!r} has no `{needs}`", where=name, hint=f"define `{needs}` in that module")
    return module
