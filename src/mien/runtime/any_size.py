"""A network for pictures of one size -> the same network for pictures of any size, without the onnx package.

onnxruntime holds a file to the sizes that it says. Of a network of convolutions they are a mere remark, so they are
taken out of the file's protobuf messages (onnx.proto): a field is a tag, a length, and that many bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mien.runtime.seal import varint

GRAPH, INITIALIZER, INPUT, OUTPUT, VALUE_INFO = 7, 5, 11, 12, 13  # fields of ModelProto and GraphProto
NAME, TENSOR_NAME = 1, 8  # of ValueInfoProto, of TensorProto
MESSAGE = 2  # the wire type of texts, bytes and messages
FLOAT = b"\x08\x01"  # TensorProto.DataType


class Field(NamedTuple):
    """number and wire: of its tag. content: the bytes of a message, else what is written. whole: with its tag."""

    number: int
    wire: int
    content: bytes
    whole: bytes


def any_size(model: bytes) -> bytes:
    """An ONNX model with one picture as its input, float32 (1, 3, any height, any width), and outputs of any shape.

    Raises ValueError for bytes that are no protobuf message, or a model that takes something else.
    """
    return b"".join(
        _message(GRAPH, _freed(each.content)) if each.number == GRAPH else each.whole for each in _fields(model)
    )


def _freed(graph: bytes) -> bytes:
    """A GraphProto that says nothing of sizes but of its input's channels.

    Weights may be named among its inputs; they stay as they are. Raises ValueError unless one other input is left.
    """
    fields = list(_fields(graph))
    weights = {_name_in(each.content, TENSOR_NAME) for each in fields if each.number == INITIALIZER}
    pictures = [each for each in fields if each.number == INPUT and _name_in(each.content, NAME) not in {*weights, b""}]
    if len(pictures) != 1:
        raise ValueError(f"it takes {len(pictures)} inputs, not one picture")
    parts = []
    for each in fields:
        if each is pictures[0]:
            sizes = b"".join(
                _message(1, size) for size in (b"\x08\x01", b"\x08\x03", _message(2, b"h"), _message(2, b"w"))
            )
            parts.append(_value(INPUT, each.content, FLOAT + _message(2, sizes)))
        elif each.number == OUTPUT:
            parts.append(_value(OUTPUT, each.content, FLOAT))
        elif each.number != VALUE_INFO:
            parts.append(each.whole)
    return b"".join(parts)


def _name_in(message: bytes, number: int) -> bytes:
    """The name that a message has in this field; b"" where it has none."""
    return next((each.content for each in _fields(message) if each.number == number), b"")


def _value(number: int, info: bytes, tensor: bytes) -> bytes:
    """A ValueInfoProto of the same name whose type is this TypeProto.Tensor."""
    name = _message(NAME, _name_in(info, NAME))
    return _message(number, name + _message(2, _message(1, tensor)))


def _message(number: int, content: bytes) -> bytes:
    return varint(number << 3 | MESSAGE) + varint(len(content)) + content


def _fields(content: bytes) -> Iterator[Field]:
    at = 0
    while at < len(content):
        start = at
        tag, at = _number(content, at)
        wire = tag & 7
        if wire == MESSAGE:
            length, at = _number(content, at)
        elif wire == 0:
            length = _number(content, at)[1] - at
        else:
            length = {1: 8, 5: 4}.get(wire, len(content))
        if at + length > len(content):
            raise ValueError("it is no protobuf message")
        yield Field(tag >> 3, wire, content[at : at + length], content[start : at + length])
        at += length


def _number(content: bytes, at: int) -> tuple[int, int]:
    """The varint that begins there, and where it ends."""
    value = shift = 0
    while at < len(content) and shift < 64:
        value |= (content[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if content[at - 1] < 0x80:
            return value, at
    raise ValueError("it is no protobuf message")
