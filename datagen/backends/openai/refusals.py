"""Parameters that a server refuses: dropped or renamed for the rest of the run, and reported once.

Hosted servers know fewer parameters than vLLM. One says `Unsupported parameter: 'max_tokens' … use
'max_completion_tokens'`, another does not know `seed`, a third generates images but refuses `response_format`. The
request is sent again without the refused parameter. Parameters that the recipe sets itself (`extra_body`, `think_body`,
`image_size`) are never dropped. A value out of range ("max_tokens is too large: …") is no refused parameter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from datagen.notices import tell_once

INSTEAD = {"max_tokens": "max_completion_tokens"}
"""Replacements for refused parameters, unless they are refused too."""
FEWER_LOGPROBS = 5
"""Log-probabilities requested from a server that gives some, but fewer than were requested."""
_LOGPROBS = ("logprobs", "top_logprobs")
_LOSS = {
    "seed": "its answers cannot be reproduced",
    "temperature": "it answers at its own temperature",
    "max_completion_tokens": "the length of its answers has no limit",
    "response_format": "its answers are checked all the same",
    "logprobs": "scorers sample answers instead",
    "structured_outputs": "its answers are checked all the same",
}
"""Parameters that can be dropped, with what is lost without them."""
_LOSS |= dict.fromkeys(("top_p", "max_tokens", "top_logprobs", "modalities"), "")
_SIGNS = re.compile(
    r"unsupported|not? support|n't support|unknown|unrecogni[sz]ed|unexpected|unavailable|not available|not permitted"
    r"|not allowed|forbidden|only the default|cannot (?:both )?(?:be )?(?:find|specified|used)|deprecated|extra fields",
    re.IGNORECASE,
)


class Refusals:
    """The parameters that a server refuses, by endpoint. All servers of a fleet share them: all are asked alike.

    Otherwise what a sample or a score is made from would depend on who had room: half of the judgements from
    log-probabilities, the others not. `own` names the parameters that the recipe sets, which are never dropped.
    """

    def __init__(self, own: Iterable[str] = ()) -> None:
        self.own = frozenset(own)
        self._known: dict[str, frozenset[str]] = {}

    def known(self, endpoint: str) -> frozenset[str]:
        """Return the parameters that the endpoint refuses; `top_logprobs` alone means that it gives fewer of them."""
        return self._known.get(endpoint, frozenset())

    def remember(self, endpoint: str, refused: frozenset[str], server: str) -> None:
        """Record the parameters that a request was answered without by a server, and report the new ones."""
        for name in sorted(refused - self.known(endpoint)):
            tell_once(f"{server} refuses {_describe(name, refused)}")
        self._known[endpoint] = self.known(endpoint) | refused

    def list_left_out(self, endpoint: str, body: Mapping[str, Any]) -> list[str]:
        """Return the parameters of a request that were not sent, sorted."""
        if not self.known(endpoint):
            return []
        sent = set(_names(fit(body, self.known(endpoint))))
        return sorted(name for name in _names(body) if name not in sent and INSTEAD.get(name) not in sent)


def fit(body: Mapping[str, Any], refused: frozenset[str]) -> dict[str, Any]:
    """Return a request with its refused parameters dropped or replaced."""
    if not refused:
        return dict(body)
    drop = set(refused) - {"top_logprobs"} | (set(_LOGPROBS) if "logprobs" in refused else set())
    fitted = {key: value for key, value in body.items() if key not in drop}
    if "extra_body" in body:
        fitted["extra_body"] = {key: value for key, value in body["extra_body"].items() if key not in drop}
    for name, other in INSTEAD.items():
        if name in body and name in refused and other not in refused:
            fitted[other] = body[name]
    if "top_logprobs" in fitted and "top_logprobs" in refused:
        fitted["top_logprobs"] = min(fitted["top_logprobs"], FEWER_LOGPROBS)
    return fitted


def find_refused(sent: Mapping[str, Any], error: Any, refused: frozenset[str], own: frozenset[str]) -> str:
    """Return the parameter of a sent request that an error refuses, `""` for none.

    `error` is the parsed body. It names the parameter under `param`, at the end of a `loc`, or in its message.
    `refused` and `own` are as in `Refusals`.
    """
    present = [name for name in _names(sent) if name in _LOSS and name not in own]
    message = " ".join(_list_texts(error))
    named = [name for name in _list_named(error) if name in present]
    if not named:
        places = {name: found.start() for name in present if (found := re.search(rf"\b{name}\b", message))}
        # Of two that exclude each other drop the less important: "`temperature` and `top_p` cannot both be specified".
        named = sorted(places, key=lambda name: (name != "top_p", places[name]))
    if not named or not (_SIGNS.search(message) or named[0] in _LOGPROBS):
        return ""
    # "At most 5 top_logprobs" is answered with 5 first; only a second refusal drops log-probabilities altogether.
    if named[0] == "top_logprobs" and "top_logprobs" not in refused and sent["top_logprobs"] > FEWER_LOGPROBS:
        return "top_logprobs"
    return "logprobs" if named[0] in _LOGPROBS else named[0]


def _names(body: Mapping[str, Any]) -> Iterator[str]:
    yield from (key for key in body if key != "extra_body")
    yield from body.get("extra_body") or ()


def _list_named(error: Any) -> Iterator[str]:
    """Yield the parameters that the fields of an error name."""
    if isinstance(error, Mapping):
        if isinstance(error.get("param"), str):
            yield error["param"].split(".")[0]
        if isinstance(error.get("loc"), list) and error["loc"]:
            yield str(error["loc"][-1])
        for value in error.values():
            yield from _list_named(value)
    elif isinstance(error, list):
        for value in error:
            yield from _list_named(value)


def _list_texts(error: Any) -> Iterator[str]:
    """Yield the sentences of an error, without the echo of the request that some servers add."""
    if isinstance(error, str):
        yield error
    elif isinstance(error, list):
        for value in error:
            yield from _list_texts(value)
    elif isinstance(error, Mapping):
        for key in ("message", "msg", "code", "type", "detail", "error"):
            yield from _list_texts(error.get(key))


def _describe(name: str, refused: frozenset[str]) -> str:
    if name in INSTEAD and INSTEAD[name] not in refused:
        return f"{name!r}: asked with {INSTEAD[name]!r} from here on"
    if name == "top_logprobs" and "logprobs" not in refused:
        return f"so many log-probabilities: asked for {FEWER_LOGPROBS} from here on"
    return f"{name!r}: asked without it from here on" + (f", {_LOSS[name]}" if _LOSS[name] else "")
