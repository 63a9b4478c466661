"""Checks of a document against a pydantic model, with the position of each error in the file.

Pydantic gives the path of an error, the document the position of the path. Works for all user-written files:
taxonomies, lexicons, recipes. Try `datagen check recipes/mine.yaml`. Not covered: errors beyond a schema, such as a
template that uses an unknown slot (`datagen.taxonomy.check`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from datagen.documents.reading import Document, Location, Problem, problems_error, show
from datagen.errors import did_you_mean

Model = TypeVar("Model", bound=BaseModel)

VERSION = 1
"""Version of the file formats of taxonomies, lexicons and recipes that this code reads."""

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "none_required": "nothing",
}
_CHOICES = {"literal_error", "enum"}
_KEY = "[key]"
"""The last part of pydantic's path if an error concerns the key of a mapping, not its value."""
_OWN = "own"
"""Type of the errors that a model raises by `faults_error`: complete messages with place and hint."""
_QUOTED = re.compile(r"'([^']*)'")
_A_LIST = {"list_type", "tuple_type", "set_type", "frozen_set_type"}
_A_MAPPING = {"dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type"}


@dataclass(frozen=True, slots=True)
class _Fault:
    """One pydantic error with its path in the data; `members` are (path, member) of the unions that raised it."""

    path: Location
    missing: str
    members: tuple[tuple[Location, str | int], ...]
    error: Mapping[str, Any]


def load_model(document: Document, model: type[Model], *, look_up: bool = False) -> Model:
    """Return a document as a model. Raises ConfigError that lists every problem with its place; see `check_model`."""
    found, problems = check_model(document, model, look_up=look_up)
    if found is None or problems:
        raise problems_error(problems)
    return found


def check_model(document: Document, model: type[Model], *, look_up: bool = False) -> tuple[Model | None, list[Problem]]:
    """Return the model, or None if the data is invalid, and every problem with its place in the file.

    With `look_up`, the model also looks up words that name modules (passed in the validation context). A file of a
    newer version than `VERSION` gets only this problem, since the rest may be valid in that version.
    """
    newer = _newer_version(document) if "version" in model.model_fields else None
    if newer:
        return None, [newer]
    problems = list(document.problems)
    try:
        data = {} if document.data is None else document.data
        return model.model_validate(data, context={"look_up": look_up}), problems
    except ValidationError as error:
        faults = [_locate(document.data, detail) for detail in error.errors(include_url=False)]
        schema = _schema_of(model)
        # One problem per place: a wrong number that was already reported would also have the wrong type.
        told = {(problem.line, problem.column) for problem in document.problems}
        wrong = [_explain(document, fault, schema) for fault in _prune(faults)]
        problems += [problem for problem in wrong if (problem.line, problem.column) not in told]
        return None, sorted(set(problems))


@lru_cache(maxsize=32)
def _schema_of(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def make_fault(path: Location, what: str, hint: str = "", *, key: bool = False) -> InitErrorDetails:
    """Return an error that a validator raises at a path in its data: at the key if `key`, else at the value."""
    kind = PydanticCustomError(_OWN, "{what}", {"what": what, "hint": hint})
    return InitErrorDetails(type=kind, loc=(*path, _KEY) if key else tuple(path), input=None)


def faults_of(error: ValidationError) -> list[InitErrorDetails]:
    """Return pydantic's errors in a form that a validator can raise together with its own."""
    return [
        InitErrorDetails(
            type=PydanticCustomError(each["type"], each["msg"], each["ctx"])
            if each["type"] == _OWN
            else PydanticCustomError(each["type"], each["msg"]),
            loc=each["loc"],
            input=each["input"],
        )
        for each in error.errors(include_url=False)
    ]


def faults_error(model: type[BaseModel], faults: Sequence[InitErrorDetails]) -> ValidationError:
    """Return the exception for several errors, each with its own path below the validated value."""
    return ValidationError.from_exception_data(model.__name__, list(faults))


def known_keys(schema: Mapping[str, Any], path: Iterable[str | int]) -> dict[str, str]:
    """Return the keys that a JSON schema allows in the mapping at `path`, with their descriptions (possibly empty).

    Includes the keys of all members of unions.
    """
    nodes = [schema]
    for step in path:
        nodes = [child for node in nodes for each in _resolve(schema, node) for child in _children(each, step)]
    found = [each.get("properties", {}) for node in nodes for each in _resolve(schema, node)]
    return {key: str(child.get("description", "")) for properties in found for key, child in properties.items()}


def _resolve(schema: Mapping[str, Any], node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if "$ref" in node:
        return _resolve(schema, schema["$defs"][node["$ref"].rsplit("/", 1)[1]])
    members = [*node.get("anyOf", ()), *node.get("oneOf", ()), *node.get("allOf", ())]
    return [node, *(found for member in members for found in _resolve(schema, member))]


def _children(node: Mapping[str, Any], step: str | int) -> list[Mapping[str, Any]]:
    if isinstance(step, int):
        found = [node.get("items"), *node.get("prefixItems", ())]
    else:
        # Pydantic uses `patternProperties` for mappings whose keys have a pattern.
        of_any_key = [node.get("additionalProperties"), *node.get("patternProperties", {}).values()]
        found = [node["properties"][step]] if step in node.get("properties", {}) else of_any_key
    return [child for child in found if isinstance(child, dict)]


def _newer_version(document: Document) -> Problem | None:
    found = document.data.get("version") if isinstance(document.data, dict) else None
    if isinstance(found, bool) or not isinstance(found, int) or found <= VERSION:
        return None
    hint = f"this datagen reads version {VERSION}: upgrade datagen, or write the file for version {VERSION}"
    return document.problem(("version",), f"the file is of version {found}, a newer one", hint)


def _locate(data: Any, error: Mapping[str, Any]) -> _Fault:
    # Pydantic inserts the names of union members into the path: any part that is not in the data.
    path: list[str | int] = []
    members: list[tuple[Location, str | int]] = []
    parts = list(error["loc"])
    missing = str(parts.pop()) if error["type"] == "missing" and parts else ""
    for part in parts:
        if _holds(data, part):
            data = data[part]
            path.append(part)
        elif part != _KEY:
            members.append((tuple(path), part))
    return _Fault(tuple(path), missing, tuple(members), error)


def _holds(data: Any, part: str | int) -> bool:
    if isinstance(data, dict):
        return part in data
    return isinstance(data, list) and isinstance(part, int) and part < len(data)


def _prune(faults: list[_Fault]) -> list[_Fault]:
    """Keep only the errors of the union member that fits best: the right shape first, then the fewest wrong keys.

    Nested unions are handled after the outer ones.
    """
    for depth in range(max((len(fault.members) for fault in faults), default=0)):
        sites: dict[Any, dict[str | int, list[_Fault]]] = {}
        for fault in faults:
            if len(fault.members) > depth:
                site, member = fault.members[depth]
                sites.setdefault((fault.members[:depth], site), {}).setdefault(member, []).append(fault)
        nearest = {
            (*key, member)
            for key, groups in sites.items()
            for member, group in groups.items()
            if _distance(group, key[1]) == min(_distance(other, key[1]) for other in groups.values())
        }
        faults = [
            fault
            for fault in faults
            if len(fault.members) <= depth or (fault.members[:depth], *fault.members[depth]) in nearest
        ]
    return _merge(faults)


def _distance(group: list[_Fault], site: Location) -> tuple[bool, int, int]:
    wrong_shape = any(fault.path == site and _expected(fault.error) for fault in group)
    # Only keys of the member itself; deeper ones belong to nested unions.
    missing = sum(bool(fault.missing) and fault.path == site for fault in group)
    wrong_keys = missing + sum(f.error["type"] == "extra_forbidden" and f.path[:-1] == site for f in group)
    return wrong_shape, wrong_keys, len(group)


def _merge(faults: list[_Fault]) -> list[_Fault]:
    """Join errors at one place that differ only by union member: types (`text or a list`) and missing keys."""
    kept: dict[tuple[Location, str], _Fault] = {}
    for fault in faults:
        expected = _expected(fault.error)
        sort = "type" if expected else str(fault.error["type"]) + ("" if fault.missing else str(fault.error["msg"]))
        if fault.missing and not fault.members:
            sort += fault.missing
        earlier = kept.setdefault((fault.path, sort), fault)
        if earlier is fault or not (expected or fault.missing):
            continue
        words = [*_expected(earlier.error).split(" or "), expected]
        error = {**earlier.error, "expected": " or ".join(dict.fromkeys(words))} if expected else earlier.error
        missing = " or ".join(dict.fromkeys([*earlier.missing.split(" or "), fault.missing]))
        kept[(fault.path, sort)] = _Fault(fault.path, missing, fault.members, error)
    return list(kept.values())


def _expected(error: Mapping[str, Any]) -> str:
    kind = error["type"]
    if "expected" in error:
        return str(error["expected"])
    if kind in _A_LIST:
        return "a list"
    if kind in _A_MAPPING:
        return "a mapping of key: value"
    return _EXPECTED.get(kind, "")


def _explain(document: Document, fault: _Fault, schema: Mapping[str, Any]) -> Problem:
    kind, path = fault.error["type"], fault.path
    at_key = _KEY in fault.error["loc"]
    if kind == _OWN:
        return document.problem(path, fault.error["ctx"]["what"], fault.error["ctx"]["hint"], key=at_key)
    start = f"{dotted(path)}: " if path else ""
    if fault.missing:
        what = " or ".join(map(repr, fault.missing.split(" or ")))
        about = known_keys(schema, path).get(fault.missing)
        hint = f"add it: {about}" if about else "add it"
        return document.problem(path, f"{start}the key {what} is missing", hint, key=True)
    if kind == "extra_forbidden":
        known, place = known_keys(schema, path[:-1]), f" in {dotted(path[:-1])}" if path[1:] else ""
        what, hint = f"unknown key {show(path[-1])}{place}", did_you_mean(str(path[-1]), known)
        if path[-1] in known:
            what, hint = f"{start}the key does not fit the other keys there", "remove it"
        return document.problem(path, what, hint or "remove it", key=True)
    value = fault.error.get("input")
    if _expected(fault.error):
        hint = "put the value in quotes" if _expected(fault.error) == "text" and _is_scalar(value) else ""
        return document.problem(path, f"{start}must be {_expected(fault.error)}, not {show(value)}", hint)
    what = str(fault.error["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    what = re.sub(r"^(Input|String|List|Value|Dictionary|Tuple) should", "must", what).replace(" after validation", "")
    if kind == "string_pattern_mismatch":
        what = "must be written with small letters, digits and _" if "[a-z]" in what else what
    said_already = kind == "value_error" and show(value) in what
    note = f", not {show(value)}" if _is_scalar(value) and not said_already else ""
    near = did_you_mean(value, _QUOTED.findall(what)) if kind in _CHOICES and isinstance(value, str) else ""
    hint = near if near.startswith("did") else ""
    return document.problem(path, f"{start}{what}{note}", hint, key=at_key)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def dotted(path: Iterable[str | int]) -> str:
    """Return a path in readable form: `skills[2].slots.n`; empty for the root."""
    written = ""
    for step in path:
        written += f"[{step}]" if isinstance(step, int) else f".{step}" if written else str(step)
    return written
