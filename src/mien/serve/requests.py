"""What a client sent -> pictures as bytes. Everything stays in memory."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import python_multipart  # noqa: F401  (starlette needs it for forms, and would ask for it in the middle of a request)
from pydantic import ValidationError
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException, MultiPartParser

from mien.serve.answers import Predict
from mien.serve.limits import Limits, RefusedError

HOW = (
    'Send the pictures as multipart form fields called "file", as JSON {"images": ["base64", ...]}, or one picture as '
    "it is, with its own Content-Type, as image/jpeg."
)
TRUE, FALSE = ("true", "1", "on", "yes"), ("false", "0", "off", "no")
KEYS = 20  # words of a JSON body besides its pictures, with room for those that are refused by name
FORM, JSON, PICTURE = "multipart/form-data", "application/json", "image/"


@dataclass(frozen=True)
class Asked:
    """pictures: files as they came. detect: whether faces are to be found first, or None: as the model is."""

    pictures: list[bytes]
    detect: bool | None


class MemoryParser(MultiPartParser):
    """A form's files stay in memory, whose size the body's limit bounds; starlette's own go to disk after 1 MB."""

    spool_max_size = 0  # never rolled over


def check_kind(kind: str) -> None:
    """Refuse a Content-Type that nothing here reads, before anything is received. Raises RefusedError 415."""
    plain = _plain(kind)
    if plain not in (FORM, JSON) and not plain.startswith(PICTURE):
        raise RefusedError(415, f"Content-Type '{plain}' is not understood. {HOW}")


async def asked(kind: str, body: bytes, detect: str | None, limits: Limits) -> Asked:
    """A whole body of a Content-Type. detect: of the address, for a body that does not say. Raises RefusedError."""
    default = None if detect is None else _truth(detect)
    plain = _plain(kind)
    if plain == FORM:
        found = await _form(kind, body, limits)
    elif plain == JSON:
        found = _from_json(body, limits)
    else:
        found = Asked([body] if body else [], None)
    if not found.pictures:
        raise RefusedError(422, f"There is no picture in the request. {HOW}")
    if len(found.pictures) > limits.images:
        raise _too_many(limits)
    return Asked(found.pictures, default if found.detect is None else found.detect)


def _plain(kind: str) -> str:
    return kind.partition(";")[0].strip().lower()


async def _form(kind: str, body: bytes, limits: Limits) -> Asked:
    async def whole() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        parser = MemoryParser(
            Headers({"content-type": kind}), whole(), max_files=limits.images, max_fields=4, max_part_size=1024
        )
        form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise _too_many(limits) from error
        raise RefusedError(400, f"The form cannot be read ({error.message.rstrip('.')}). {HOW}") from error
    try:
        files = form.getlist("file")
        pictures = [await file.read() for file in files if not isinstance(file, str)]
        return Asked(pictures, _truth(form["detect"]) if "detect" in form else None)
    finally:
        await form.close()


def _from_json(body: bytes, limits: Limits) -> Asked:
    if body.count(b'"') > 2 * (limits.images + KEYS):  # base64 has none; millions of strings would cost time and memory
        raise _too_many(limits)
    try:
        values = Predict.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise RefusedError(422, f"The JSON does not fit: {where}: {first['msg']}. {HOW}") from error
    if len(values.images) > limits.images:
        raise _too_many(limits)
    return Asked([_decoded(text, number) for number, text in enumerate(values.images, 1)], values.detect)


def _decoded(text: str, number: int) -> bytes:
    """base64, also as a data URL, as browsers give it."""
    try:
        return base64.b64decode(text.rpartition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError(422, f"Image {number} is not base64 ({error}). {HOW}") from error


def _truth(value: object) -> bool:
    text = str(value).strip().lower()
    if text not in TRUE + FALSE:
        raise RefusedError(422, f"detect is {json.dumps(text)}; it is true or false.")
    return text in TRUE


def _too_many(limits: Limits) -> RefusedError:
    return RefusedError(
        422, f"There are more than {limits.images} pictures in the request. Send them in several requests."
    )
