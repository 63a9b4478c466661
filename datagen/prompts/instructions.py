"""What a rewriter is told: the instruction templates of `templates/expansion/`.

`instruct.j2` says it all, for any model that follows instructions; `pictograms.j2` is the short form that the
embedded model learned. A user's own file takes their place. It may use `{{ style }}`, `{{ prompt }}`, `{{ persona }}`
and `{{ scene }}`; the last two are empty where none is asked for.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from datagen.errors import ConfigError
from datagen.shipped import shipped_path

# A misspelt name must be an error: as an empty word it would go to the model unseen.
_ENVIRONMENT = ImmutableSandboxedEnvironment(
    keep_trailing_newline=False, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_HINT = "it may use {{ style }}, {{ prompt }}, {{ persona }} and {{ scene }}, and must use {{ prompt }}"


def instruct(style: str, prompt: str, *, form: str | Path, persona: str = "", scene: str = "") -> str:
    """Return the instruction to rewrite a prompt in a style; `form` names a shipped template or is a path to one.

    Raises ConfigError at the template's file when it cannot be read, fails, or leaves out the prompt.
    """
    path = shipped_path("templates", "expansion", f"{form}.j2") if isinstance(form, str) else form
    try:
        written = _compile(path).render(style=style, prompt=prompt, persona=persona, scene=scene).strip()
    except (OSError, TemplateError, TypeError, ValueError, ArithmeticError) as error:
        raise ConfigError(f"the instruction template fails: {error}", where=str(path), hint=_HINT) from error
    if prompt not in written:
        raise ConfigError("the instruction template leaves out the prompt", where=str(path), hint=_HINT)
    return written


@cache
def _compile(path: Path) -> Template:
    return _ENVIRONMENT.from_string(path.read_text(encoding="utf-8"))
