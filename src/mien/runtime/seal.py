"""What an exported file says of itself, and the proof that nobody has changed it since.

The metadata are appended to the network's bytes as one more entry of the ONNX file's `metadata_props`: in protobuf,
two messages one after the other are one message with the entries of both. So network and metadata can be told apart,
and their fingerprint be checked, without the onnx package.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from mien.errors import DataError

KEY = "mien"
EXTERNAL = b"\x0a\x08location\x12"  # the entry of a tensor that says which file holds it, never written by mien
PROPERTIES, NAME, VALUE = 0x72, 0x0A, 0x12  # tags: ModelProto field 14; StringStringEntryProto fields 1 and 2


def seal(network: bytes, values: dict[str, Any]) -> bytes:
    """A serialised ONNX network with metadata, `values` and their common fingerprint, at its end."""
    return network + _entry(json.dumps(values | {"fingerprint": fingerprint(network, values)}))


def unseal(content: bytes, text: str, name: str) -> dict[str, Any]:
    """The values in `text`, the metadata that onnxruntime found in the file.

    Raises DataError when network or metadata are not those that were sealed.
    """
    entry = _entry(text)
    try:
        values = json.loads(text)
        known = values.pop("fingerprint")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise DataError(f"{name} is damaged: its metadata cannot be read ({error}). Export it again.") from error
    if EXTERNAL in content:
        raise DataError(f"{name} keeps weights in another file, which nothing proves. Export it again.")
    if not content.endswith(entry) or fingerprint(memoryview(content)[: -len(entry)], values) != known:
        raise DataError(f"{name} was changed after it was exported: its fingerprint does not fit. Export it again.")
    return {**values, "fingerprint": known}


def network_of(content: bytes, text: str) -> bytes:
    """The bytes of a sealed file without its metadata `text`."""
    return content.removesuffix(_entry(text))


def fingerprint(network: bytes | memoryview, values: dict[str, Any]) -> str:
    """sha256 of the network and of everything that is said of it, in hexadecimal."""
    found = hashlib.sha256(network)
    found.update(json.dumps(values, sort_keys=True).encode())
    return found.hexdigest()


def _entry(text: str) -> bytes:
    """metadata_props {key: KEY, value: text} as protobuf writes it."""
    key, value = KEY.encode(), text.encode()
    inner = bytes([NAME]) + varint(len(key)) + key + bytes([VALUE]) + varint(len(value)) + value
    return bytes([PROPERTIES]) + varint(len(inner)) + inner


def varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all bytes but the last have their highest bit set."""
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])
