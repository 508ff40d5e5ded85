"""How a stream of the Responses API ends when it broke: so that every official client raises.

Clients look in different places. openai-python and openai-node raise on an `error` object inside the event,
which the service itself sends; the reference documents flat fields; Codex and pydantic-ai wait for
`response.failed`; strict clients refuse any event without a `sequence_number`
(https://platform.openai.com/docs/api-reference/responses-streaming). The two events here have it all.
"""

import time
from dataclasses import dataclass

import msgspec

from common.errors import ApiError

KEPT_BYTES = 256 * 1024
"""How much is looked through at a failure."""
MOST_LINES = 1000


class _Numbered(msgspec.Struct):
    sequence_number: int = -1


class _WithResponse(msgspec.Struct):
    response: dict[str, msgspec.Raw] = {}


@dataclass(slots=True)
class ResponseSeen:
    """What the client of one stream has been sent. Blocks are kept as they are and read only at a failure."""

    newest: bytes = b""
    """Ends with the last event."""
    telling: bytes = b""
    """The newest block in which an event holds the whole response object."""

    def note(self, block: bytes) -> None:
        """The client gets this block."""
        if len(block) > KEPT_BYTES:
            self.newest = block[-KEPT_BYTES:]
            return
        self.newest = block
        if b'"response":' in block:
            self.telling = block

    def next_number(self) -> int:
        """The `sequence_number` that is due."""
        for data in _data_from_the_end(self.newest):
            try:
                return msgspec.json.decode(data, type=_Numbered).sequence_number + 1
            except (msgspec.MsgspecError, RecursionError):
                continue
        return 0

    def response(self) -> dict[str, object]:
        """The response object as the client saw it last; a bare one when it has seen none."""
        for data in _data_from_the_end(self.telling):
            try:
                response = msgspec.json.decode(data, type=_WithResponse).response
            except (msgspec.MsgspecError, RecursionError):
                continue
            if response:
                return dict(response)
        bare = {"id": "resp_unknown", "object": "response", "created_at": int(time.time()), "model": ""}
        return bare | {"output": [], "tools": [], "tool_choice": "auto", "parallel_tool_calls": True}


def failed_response(error: ApiError, seen: ResponseSeen) -> bytes:
    """The `error` event and the `response.failed` event that end the stream."""
    number = seen.next_number()
    told = {"code": error.code, "message": str(error), "param": error.param}
    first = {"type": "error", "sequence_number": number} | told | {"error": {"type": error.type} | told}
    # OpenAI's enumeration of codes has no other that fits.
    code = "rate_limit_exceeded" if error.status == 429 else "server_error"
    response = seen.response() | {"status": "failed", "error": {"code": code, "message": str(error)}}
    last = {"type": "response.failed", "sequence_number": number + 1, "response": response}
    return b"event: error\ndata: %b\n\nevent: response.failed\ndata: %b\n\n" % (
        msgspec.json.encode(first),
        msgspec.json.encode(last),
    )


def _data_from_the_end(block: bytes) -> list[bytes]:
    """The last data lines of a block of whole events, the very last one first."""
    lines = [line[5:] for line in block.rsplit(b"\n", MOST_LINES)[1:] if line.startswith(b"data:")]
    return lines[::-1]
