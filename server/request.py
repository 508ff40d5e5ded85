"""The client's side of a relayed request: paths, capped body, partial decode, request id, error answer."""

import re
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from common.errors import ApiError, BadRequest, PayloadTooLarge, error_bytes

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

RELAYED = {
    "/v1/chat/completions": "/v1/chat/completions",
    "/v1/completions": "/v1/completions",
    "/v1/embeddings": "/v1/embeddings",
    "/tokenize": "/tokenize",
    "/detokenize": "/detokenize",
    "/v1/tokenize": "/tokenize",
    "/v1/detokenize": "/detokenize",
}
"""Our path -> the engine's path."""

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class ClientGone(Exception):
    """The client closed the connection; there is nobody to answer."""


class RequestHead(msgspec.Struct):
    """The fields that routing needs; everything else of the body is passed on unread."""

    model: str
    stream: bool | None = None


_decoder = msgspec.json.Decoder(RequestHead)


def header(scope: Scope, name: bytes) -> str | None:
    """The first header called `name` (lower case), as text."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return None


def request_id(scope: Scope) -> str:
    """The client's x-request-id when it is harmless, else a new one."""
    given = header(scope, b"x-request-id")
    return given if given and REQUEST_ID.fullmatch(given) else f"req-{uuid.uuid4().hex}"


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body. Raises PayloadTooLarge beyond `limit` bytes and ClientGone."""
    length = header(scope, b"content-length") or "0"
    if length.isdigit() and int(length) > limit:
        raise PayloadTooLarge(f"The body has {length} bytes; at most {limit} are taken.")
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise PayloadTooLarge(f"The body has more than {limit} bytes; at most that many are taken.")
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def parse_head(body: bytes) -> RequestHead:
    """Decode what routing needs. Raises BadRequest that names what is wrong."""
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest("The body is not valid JSON.", code="invalid_json") from error
    except RecursionError as error:
        raise BadRequest("The body's JSON is nested too deeply.", code="invalid_json") from error


def _invalid(reason: str) -> BadRequest:
    if "missing required field `model`" in reason:
        return BadRequest("The field `model` is missing.", param="model", code="missing_required_parameter")
    if reason.startswith("Expected `object`"):
        return BadRequest("The body must be a JSON object.", code="invalid_json")
    where = re.search(r"\$\.(\w+)", reason)
    param = where.group(1) if where else None
    return BadRequest(f"{param or 'body'}: {reason.split(' - ')[0]}.", param=param, code="invalid_value")


async def send_error(send: Send, error: ApiError, request_id: str) -> None:
    """Answer with the OpenAI error object."""
    body = error_bytes(error)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", request_id.encode()),
        *((k.encode(), v.encode("latin-1")) for k, v in error.headers.items()),
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
