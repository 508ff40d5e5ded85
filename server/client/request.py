"""The client's side of a relayed request: paths, capped body, partial decode, request id, error answer."""

import codecs
import random
import re

import msgspec
from starlette.types import Receive, Scope

from common.errors import BadRequest, PayloadTooLarge
from common.http import bearer_token

EXTENSION = "kodolly.client"
"""Under this name the server hands its connection to the relay (see `http_protocol`)."""
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
NOT_UTF8 = (
    "Windows consoles send Korean text in CP949, and PowerShell writes files with a byte order mark: write"
    " the body to a file in UTF-8 without one, and send that (curl --data-binary @FILE)."
)


class ClientGone(Exception):
    """The client closed the connection; there is nobody to answer."""


class RequestHead(msgspec.Struct):
    """The fields that routing needs; everything else of the body is passed on unread.

    Only `model` and `stream` are checked here. What is wrong with the others the engine tells better.
    """

    model: str
    stream: bool | None = None
    stream_options: object = None
    n: object = None
    max_tokens: object = None
    max_completion_tokens: object = None
    max_output_tokens: object = None
    messages: msgspec.Raw = msgspec.Raw(b"")
    input: msgspec.Raw = msgspec.Raw(b"")
    prompt: msgspec.Raw = msgspec.Raw(b"")
    previous_response_id: object = None
    tools: msgspec.Raw = msgspec.Raw(b"")
    logprobs: object = None
    user: object = None
    safety_identifier: object = None
    metadata: msgspec.Raw = msgspec.Raw(b"")
    priority: object = None
    kv_transfer_params: object = None
    ec_transfer_params: object = None


_decoder = msgspec.json.Decoder(RequestHead)
_list_decoder = msgspec.json.Decoder(list[msgspec.Raw])

FIRST_MESSAGES = 2
"""Messages that make up a conversation's identity: system prompt and first question."""
PREFIX_BYTES = 4096
"""How much of them is looked at."""


def conversation_prefix(head: RequestHead) -> bytes:
    """What requests of one conversation have in common, for affinity; b"" when there is nothing."""
    if not head.messages:
        return bytes(memoryview(head.prompt)[:PREFIX_BYTES]) if head.prompt else b""
    try:
        messages = _list_decoder.decode(head.messages)
    except msgspec.MsgspecError:
        return b""
    return b"".join(map(bytes, messages[:FIRST_MESSAGES]))[:PREFIX_BYTES]


def first_of_each(scope: Scope) -> dict[bytes, bytes]:
    """The headers by their names (lower case), of a repeated one the first."""
    return dict(reversed(scope["headers"]))


def header(scope: Scope, name: bytes) -> str | None:
    """The first header called `name` (lower case), as text."""
    value = first_of_each(scope).get(name)
    return None if value is None else value.decode("latin-1")


def request_id(scope: Scope) -> str:
    """The client's x-request-id when it is harmless, else a new one."""
    return id_from(first_of_each(scope))


def id_from(headers: dict[bytes, bytes]) -> str:
    """The same, from the headers by their names."""
    given = headers.get(b"x-request-id")
    if given is not None and REQUEST_ID.fullmatch(text := given.decode("latin-1")):
        return text
    return f"req-{random.getrandbits(128):032x}"


def api_key(scope: Scope) -> str:
    """The client's key: `Authorization: Bearer`, Anthropic's `x-api-key`, Azure's `api-key`; "" for none."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            return bearer_token(value.decode("latin-1"))
    return header(scope, b"x-api-key") or header(scope, b"api-key") or ""


def too_large(limit: int) -> PayloadTooLarge:
    """The body has more than `limit` bytes."""
    return PayloadTooLarge(f"The body is too large; at most {limit} bytes are taken.")


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body. Raises PayloadTooLarge beyond `limit` bytes and ClientGone."""
    length = header(scope, b"content-length") or "0"
    if length.isdigit() and int(length) > limit:
        raise too_large(limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise too_large(limit)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def parse_head(body: bytes) -> RequestHead:
    """Decode what routing needs. Raises BadRequest that names what is wrong."""
    try:
        head = _decoder.decode(body)
        if not body.isascii():
            body.decode()  # what is passed on unread, too
        return head
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error
    except UnicodeDecodeError as error:
        raise BadRequest("The body is not in UTF-8.", code="invalid_json", hint=NOT_UTF8) from error
    except msgspec.DecodeError as error:
        hint = NOT_UTF8 if body.startswith(BYTE_ORDER_MARKS) else ""
        raise BadRequest("The body is not valid JSON.", code="invalid_json", hint=hint) from error
    except RecursionError as error:
        raise BadRequest("The body's JSON is nested too deeply.", code="invalid_json") from error


def with_model(body: bytes, model: str) -> bytes:
    """The body with `model`, if it is not "", where it names none itself. Raises BadRequest."""
    try:
        parse_head(body)
    except BadRequest as error:
        if error.code != "missing_required_parameter" or not model:
            raise
        rest = body[body.index(b"{") + 1 :]
        comma = b"" if rest.lstrip().startswith(b"}") else b","
        return b'{"model":' + msgspec.json.encode(model) + comma + rest
    return body


def _invalid(reason: str) -> BadRequest:
    if "missing required field `model`" in reason:
        return BadRequest("The field `model` is missing.", param="model", code="missing_required_parameter")
    if reason.startswith("Expected `object`"):
        return BadRequest("The body must be a JSON object.", code="invalid_json")
    where = re.search(r"\$\.(\w+)", reason)
    param = where.group(1) if where else None
    return BadRequest(f"{param or 'body'}: {reason.split(' - ')[0]}.", param=param, code="invalid_value")
