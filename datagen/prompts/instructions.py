"""What a rewriter is told: the instruction templates of `templates/expansion/`.

`instruct.j2` says it all, for any model that follows instructions; `pictograms.j2` is the short form that the
embedded model learned. A user's own file takes their place.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from datagen.errors import ConfigError
from datagen.shipped import shipped_path

_ENVIRONMENT = ImmutableSandboxedEnvironment(keep_trailing_newline=False)


def instruct(style: str, prompt: str, *, form: str | Path, **values: str) -> str:
    """Return the instruction to rewrite a prompt in a style; `form` names a shipped template or is a path to one.

    Raises ConfigError at the template's file when it cannot be read or fails.
    """
    path = shipped_path("templates", "expansion", f"{form}.j2") if isinstance(form, str) else form
    try:
        return _compile(path).render(style=style, prompt=prompt, **values).strip()
    except (OSError, TemplateError, TypeError) as error:
        hint = "it may use {{ style }}, {{ prompt }}, {{ persona }} and {{ scene }}"
        raise ConfigError(f"the instruction template fails: {error}", where=str(path), hint=hint) from error


@cache
def _compile(path: Path) -> Template:
    return _ENVIRONMENT.from_string(path.read_text(encoding="utf-8"))
