"""What a client sent -> pictures as bytes. Everything stays in memory."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass

import python_multipart  # noqa: F401  (starlette needs it for forms, and would ask for it in the middle of a request)
from pydantic import ValidationError
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from mien.serve.answers import Predict
from mien.serve.limits import Limits, RefusedError, Visit

HOW = 'Send the pictures as multipart form fields called "file", or as JSON {"images": ["base64", ...]}.'
TRUE, FALSE = ("true", "1", "on", "yes"), ("false", "0", "off", "no")


@dataclass(frozen=True)
class Asked:
    """pictures: files as they came. detect: whether faces are to be found first, or None: as the model is."""

    pictures: list[bytes]
    detect: bool | None


class MemoryParser(MultiPartParser):
    """A form's files stay in memory, whose size the body's limit bounds; starlette's own go to disk after 1 MB."""

    spool_max_size = 0  # never rolled over


async def asked(request: Request, visit: Visit) -> Asked:
    """The request read to its end, in time and within its limits. Raises RefusedError."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    async with visit.in_time():
        if kind == "multipart/form-data":
            found = await _form(request, visit)
        elif kind == "application/json":
            found = _from_json(b"".join([piece async for piece in visit.body(request)]))
        else:
            raise RefusedError(415, f"Content-Type '{kind}' is not understood. {HOW}")
    return _checked(found, visit.gate.limits)


async def _form(request: Request, visit: Visit) -> Asked:
    limits = visit.gate.limits
    try:
        parser = MemoryParser(
            request.headers, visit.body(request), max_files=limits.images, max_fields=4, max_part_size=1024
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


def _from_json(body: bytes) -> Asked:
    try:
        values = Predict.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise RefusedError(422, f"The JSON does not fit: {where}: {first['msg']}. {HOW}") from error
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


def _checked(found: Asked, limits: Limits) -> Asked:
    if not found.pictures:
        raise RefusedError(422, f"There is no picture in the request. {HOW}")
    if len(found.pictures) > limits.images:
        raise _too_many(limits)
    return found


def _too_many(limits: Limits) -> RefusedError:
    return RefusedError(
        422, f"There are more than {limits.images} pictures in the request. Send them in several requests."
    )
