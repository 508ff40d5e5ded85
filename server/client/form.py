"""What routing needs out of a multipart form with a file, as the audio routes take it (RFC 7578)."""

from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from common.errors import BadRequest, UnsupportedMediaType
from common.turns import Turns
from server.client.request import RequestHead

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

PIECE_BYTES = 4096
"""The parser is written in Python and looks at line ends one by one: so much takes it some milliseconds."""
CONTENT_TYPE_BYTES = 1024
VALUE_BYTES = 1024
"""The longest value of a field that is read."""
_READ = frozenset((b"model", b"stream"))


class FormHead(RequestHead):
    """The fields of a form, and where the model's name and the file stand in the body, in bytes from its
    start."""

    model_at: tuple[int, int] = (0, 0)
    file_at: tuple[int, int] = (0, 0)


class _Fields:
    """Keeps the values of the fields that are read, from the parser's call-backs."""

    def __init__(self) -> None:
        self.base = 0
        """Bytes that earlier pieces had."""
        self.values: dict[bytes, bytes] = {}
        self.header_end = 0
        """Where the headers of the last field called `model` end."""
        self.file_header_end = self.file_bytes = 0
        self._is_file = False
        self._header = b""
        self._disposition = b""
        self._name: bytes | None = None
        self._end = 0

    def on_part_begin(self) -> None:
        self._disposition, self._name, self._is_file = b"", None, False

    def on_header_begin(self) -> None:
        self._header = b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._end = self.base + end
        if self._header.lower() == b"content-disposition":
            self._disposition += data[start:end]

    def on_headers_finished(self) -> None:
        options = parse_options_header(self._disposition)[1]
        name = options.get(b"name")
        if b"filename" in options and not self.file_bytes:
            self._is_file, self.file_header_end = True, self._end
        if name not in _READ:
            return
        self._name = name
        self.values[name] = b""
        if name == b"model":
            self.header_end = self._end

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self.file_bytes += end - start
        if self._name is not None and len(self.values[self._name]) <= VALUE_BYTES:
            self.values[self._name] += data[start : min(end, start + VALUE_BYTES + 1)]


async def parse_form_head(content_type: str, body: bytes) -> FormHead:
    """Read the form, letting others run. Raises BadRequest and UnsupportedMediaType."""
    boundary = _boundary(content_type)
    fields, turns = _Fields(), Turns()
    called: MultipartCallbacks = {
        "on_part_begin": fields.on_part_begin,
        "on_header_begin": fields.on_header_begin,
        "on_header_field": fields.on_header_field,
        "on_header_value": fields.on_header_value,
        "on_headers_finished": fields.on_headers_finished,
        "on_part_data": fields.on_part_data,
    }
    try:
        parser = MultipartParser(boundary, called)
        for at in range(0, len(body), PIECE_BYTES):
            fields.base = at
            parser.write(body[at : at + PIECE_BYTES])
            if turns.due():
                await turns.give_way()
        parser.finalize()
    except FormParserError as error:
        raise BadRequest("The body is not a valid form.", code="invalid_form") from error
    return _head(fields, body)


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type[:CONTENT_TYPE_BYTES])
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise UnsupportedMediaType("The body must be multipart/form-data.")
    return boundary


def _head(fields: _Fields, body: bytes) -> FormHead:
    model = fields.values.get(b"model")
    if model is None:
        raise BadRequest("The field `model` is missing.", param="model", code="missing_required_parameter")
    start = body.find(b"\r\n\r\n", fields.header_end) + 4
    end = start + len(model)
    if len(model) > VALUE_BYTES or body[start:end] != model:
        raise BadRequest("model: the name is too long.", param="model", code="invalid_value")
    stream = fields.values.get(b"stream", b"").lower() in (b"true", b"1")
    file = body.find(b"\r\n\r\n", fields.file_header_end) + 4 if fields.file_bytes else 0
    return FormHead(
        model.decode("utf-8", "replace"),
        stream=stream,
        model_at=(start, end),
        file_at=(file, file + fields.file_bytes),
    )


def with_form_model(body: bytes, head: FormHead, target: str) -> bytes:
    """The form with another model's name."""
    start, end = head.model_at
    return body[:start] + target.encode() + body[end:]
