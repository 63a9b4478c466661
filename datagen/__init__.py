"""Weakness-targeted synthetic data for unified text-image models.

    import datagen as dg
    run = dg.build(dg.Recipe.load("quickstart").set(prompts=50))

Names are loaded on first use (PEP 562), so the import itself costs nothing. In a shell: `datagen --help`.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datagen.api import (
        Run,
        RunSample,
        audit,
        build,
        check,
        diagnose,
        doctor,
        experiment,
        loop,
        open_run,
        plan,
        preview,
        train,
    )
    from datagen.config import Recipe
    from datagen.errors import (
        BackendError,
        ConfigError,
        DatagenError,
        MissingExtraError,
        Paused,
        PluginError,
        PushError,
        RunError,
        TooManyFailures,
    )
    from datagen.records import Claim, Failure, Prompt, Request, Sample, Score, Segment, Verdict

__all__ = [
    "BackendError",
    "Claim",
    "ConfigError",
    "DatagenError",
    "Failure",
    "MissingExtraError",
    "Paused",
    "PluginError",
    "Prompt",
    "PushError",
    "Recipe",
    "Request",
    "Run",
    "RunError",
    "RunSample",
    "Sample",
    "Score",
    "Segment",
    "TooManyFailures",
    "Verdict",
    "audit",
    "build",
    "check",
    "diagnose",
    "doctor",
    "experiment",
    "loop",
    "open_run",
    "plan",
    "preview",
    "train",
]

_ELSEWHERE = {
    "config": ("Recipe",),
    "errors": (
        *("BackendError", "ConfigError", "DatagenError", "MissingExtraError", "Paused", "PluginError", "PushError"),
        *("RunError", "TooManyFailures"),
    ),
    "records": ("Claim", "Failure", "Prompt", "Request", "Sample", "Score", "Segment", "Verdict"),
}
_HOME_OF = dict.fromkeys(__all__, "api") | {name: home for home, names in _ELSEWHERE.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__


class _Door(type(sys)):  # type: ignore[misc]
    """The package itself: `audit` and `diagnose` stay functions when Python sets the packages behind them here."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME_OF and isinstance(value, type(sys))):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Door
