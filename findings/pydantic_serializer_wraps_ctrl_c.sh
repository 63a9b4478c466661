#!/usr/bin/env bash
# pydantic 2.14.3: Ctrl-C while a serializer in Python runs becomes an ordinary Exception.
#
# Guess: a KeyboardInterrupt is no Exception so that `except Exception` lets it pass; pydantic passes it on, as its
# validators do.
# Seen: raised within a validator it comes out as it is; raised within a `model_serializer` or `field_serializer` it comes
# out of `model_dump` as PydanticSerializationError, a ValueError, with the interrupt only as its cause, and out of
# `model_dump_json` without even that.
# Who meets it: whoever catches Exception around a dump, as a loop over samples does: Ctrl-C is one more failed sample,
# and the program goes on; elsewhere it is a traceback and exit code 1 instead of an interrupt.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pydantic==2.14.3
cat >"$folder/run.py" <<'PY'
import signal

from pydantic import BaseModel, field_serializer, field_validator, model_serializer


def press():
    signal.raise_signal(signal.SIGINT)  # Python's own handler raises KeyboardInterrupt


class Whole(BaseModel):
    x: int = 1

    @model_serializer
    def write(self):
        press()


class Field(BaseModel):
    x: int = 1

    @field_serializer("x")
    def write(self, value):
        press()


class Checked(BaseModel):
    x: int = 1

    @field_validator("x")
    @classmethod
    def check(cls, value):
        press()
        return value


def name_raised(call):
    try:
        call()
    except BaseException as error:
        return type(error).__name__, isinstance(error, Exception), type(error.__cause__).__name__


seen = [name_raised(call) for call in (Whole().model_dump, Field().model_dump_json, lambda: Checked(x=2))]
print("RESULT", *seen)
assert seen[0] == ("PydanticSerializationError", True, "KeyboardInterrupt"), seen
assert seen[1] == ("PydanticSerializationError", True, "NoneType"), seen
assert seen[2] == ("KeyboardInterrupt", False, "NoneType"), seen
PY
"$folder/venv/bin/python" "$folder/run.py"
