"""Addresses that a published file must not name: paths, homes, user names, servers, keys.

    /home/ann/models/janus  ->  janus          base_url: http://10.0.0.7:8000/v1  ->  left out

`without_addresses` cleans nested plain values (a recipe, the settings of a sample), `hide_addresses` one text (the
reason of a score). Every export passes through here unless the recipe says `addresses: true`; the run's own files keep
all addresses, since resuming needs them. Not covered: text that a person wrote into prompts and claims, host names
inside a text, and relative paths, which name nothing outside the project.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

HIDDEN = "[address]"
"""Replaces an address in a text."""
HOME = "home"
"""Replaces the name of a home directory, whose last part is a user name."""

_OF_A_SERVER = re.compile(
    r"(?:.*_)?(?:url|uri|host|hostname|endpoint|addr|address|server|ip|port)"
    r"|.*(?:api_key|api_key_env|hf_token|auth_token|password|secret|authorization)",
    re.IGNORECASE,
)
_PART = r"[^\s/\"'`,;:()<>|{}\[\]]+"
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*://"
_PATH = re.compile(rf"(?<![\w/:.<~-])(?:~[\w-]*(?:/{_PART})+|(?:/{_PART}){{2,}})/?|\b[A-Za-z]:\\[^\s\"'`,;()<>|]+")
_URL = re.compile(rf"\b(?:{_SCHEME})[^\s\"'`<>()\[\]]+")
_HOST = re.compile(
    r"\('[^']*[.:][^']*', \d+(?:, \d+)*\)|\('localhost', \d+(?:, \d+)*\)"
    r"|\b(?:\d{1,3}\.){3}\d{1,3}:\d{1,5}\b|\blocalhost:\d{1,5}\b"
)
_HOST_ALONE = re.compile(r"(?:[\w-]+(?:\.[\w-]+)+|\[[0-9a-f:]+\]):\d{1,5}", re.IGNORECASE)
_STARTS_A_PATH = re.compile(r"/(?!/)|~|\.{1,2}/|[A-Za-z]:[\\/]|\\\\")
_MAY_HOLD_ONE = re.compile(r"[/\\:]|', \d")


def without_addresses(value: Any) -> Any:
    """Return plain values with paths cut to their last part and servers left out; other values stay as they are.

    Keys that name a server or a secret (`base_url`, `host`, `api_key_env`, …) go, and so do values that are addresses.
    """
    if isinstance(value, dict):
        kept = {key: each for key, each in value.items() if not _OF_A_SERVER.fullmatch(str(key))}
        return {key: without_addresses(each) for key, each in kept.items() if not _is_server(each)}
    if isinstance(value, list | tuple):
        return [without_addresses(each) for each in value if not _is_server(each)]
    if isinstance(value, str):
        return name_of_path(value) if _is_path(value) else hide_addresses(value)
    return value


def hide_addresses(text: str) -> str:
    """Return a text with paths cut to their last part and servers replaced by `[address]`."""
    # Every score's reason passes here: a cheap test first, since most texts hold no address.
    if not _MAY_HOLD_ONE.search(text):
        return text
    text = _URL.sub(lambda found: HIDDEN if _is_server(found.group()) else name_of_path(found.group()), text)
    return _HOST.sub(HIDDEN, _PATH.sub(lambda found: name_of_path(found.group()), text))


def name_of_path(path: str) -> str:
    """Return the last part of a path or storage address; `home` for a home directory, which names a user."""
    plain = re.sub(rf"^{_SCHEME}", "", path).replace("\\", "/")
    parts = [part for part in PurePosixPath(plain).parts if not part.endswith((":", "/")) and part not in (".", "..")]
    is_home = len(parts) == 2 and parts[0].lower() in ("home", "users")
    if is_home or path.rstrip("/") == str(Path.home()) or re.fullmatch(r"~[\w-]*/?", path):
        return HOME
    return parts[-1] if parts else ""


def _is_path(text: str) -> bool:
    whole_url = re.fullmatch(rf"{_SCHEME}\S+", text)
    return "\n" not in text and bool(whole_url or _STARTS_A_PATH.match(text))


def _is_server(value: Any) -> bool:
    """Return whether the whole value is a server's address; `s3://…` and `file://…` are places in storage."""
    if not isinstance(value, str):
        return False
    scheme, mark, _ = value.partition("://")
    if mark and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme) and not re.search(r"\s", value):
        return scheme.lower() in ("http", "https", "ws", "wss", "tcp", "udp", "unix", "grpc", "grpcs", "redis", "ssh")
    return bool(_HOST_ALONE.fullmatch(value) or _HOST.fullmatch(value))
