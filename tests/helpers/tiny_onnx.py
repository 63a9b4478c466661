"""Writes ONNX files without the package `onnx`: the few fields of its protobuf that a small graph needs.

Field numbers are those of onnx.proto (ModelProto, GraphProto, NodeProto, TensorProto, ValueInfoProto).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

OPSET, IR_VERSION = 17, 8
_TYPES = {np.dtype(np.float32): 1, np.dtype(np.int64): 7}
_INT, _INTS, _ATTRIBUTE_INT, _ATTRIBUTE_INTS = 3, 8, 2, 7


def save_graph(
    path: Path,
    nodes: Sequence[tuple[str, Sequence[str], Sequence[str], Mapping[str, int | Sequence[int]]]],
    constants: Mapping[str, np.ndarray],
    image: Sequence[int | str],
    outputs: Sequence[str],
) -> Path:
    """Write a graph; a node is (operator, inputs, outputs, attributes), `image` the shape of its one input.

    Outputs are float32, and int64 where they are named `labels`.
    """
    graph = b"".join(_field(1, _node(*node)) for node in nodes) + _field(2, b"tiny")
    graph += b"".join(_field(5, _tensor(name, value)) for name, value in constants.items())
    graph += _field(11, _value("image", image)) + b"".join(_field(12, _value(name, None)) for name in outputs)
    path.write_bytes(_field(1, IR_VERSION) + _field(7, graph) + _field(8, _field(2, OPSET)))
    return path


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    parts = []
    while number > 0x7F:
        parts.append(0x80 | number & 0x7F)
        number >>= 7
    return bytes([*parts, number])


def _field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _node(
    operator: str, inputs: Sequence[str], outputs: Sequence[str], attributes: Mapping[str, int | Sequence[int]]
) -> bytes:
    made = b"".join(_field(1, name) for name in inputs) + b"".join(_field(2, name) for name in outputs)
    made += _field(4, operator)
    for name, value in attributes.items():
        if isinstance(value, int):
            body = _field(_INT, value) + _field(20, _ATTRIBUTE_INT)
        else:
            body = b"".join(_field(_INTS, each) for each in value) + _field(20, _ATTRIBUTE_INTS)
        made += _field(5, _field(1, name) + body)
    return made


def _tensor(name: str, value: np.ndarray) -> bytes:
    sides = b"".join(_field(1, side) for side in value.shape)
    return sides + _field(2, _TYPES[value.dtype]) + _field(8, name) + _field(9, np.ascontiguousarray(value).tobytes())


def _value(name: str, shape: Sequence[int | str] | None) -> bytes:
    sides = b"".join(_field(1, _field(1, s) if isinstance(s, int) else _field(2, s)) for s in shape or ())
    tensor = _field(1, 7 if name == "labels" else 1) + (_field(2, sides) if shape is not None else b"")
    return _field(1, name) + _field(2, _field(1, tensor))
