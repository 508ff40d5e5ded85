"""Chunked framing (RFC 9112, 7.1) where a chunk holds one event, as engines write a token."""

SMALL = 4096
"""Bytes; chunks below have their size line at hand."""
_EVENT_END = b"\n\n\r\n"
"""Of an event that has a chunk for itself."""
SIZE_LINES = [b"%x\r\n" % size for size in range(SMALL)]
"""By the bytes of the body: how a small chunk begins."""
WHOLE_CHUNKS: list[bytes | None] = [None] * SMALL
"""By the bytes of a whole small chunk, framing included: how it begins; None where no chunk has that size."""
for _line, _size in zip(SIZE_LINES[1:], range(1, SMALL), strict=True):
    if len(_line) + _size + 2 < SMALL:
        WHOLE_CHUNKS[len(_line) + _size + 2] = _line


def size_line(size: int) -> bytes:
    """How a chunk of `size` bytes begins."""
    return SIZE_LINES[size] if size < SMALL else b"%x\r\n" % size


def framed(data: bytes) -> bytes:
    """`data`, which is not empty, as one chunk."""
    return size_line(len(data)) + data + b"\r\n"


def sole_event(data: bytes) -> bytes:
    """The body of `data` when it is one whole small chunk that ends as an event does, and nothing else: so
    engines write a token. Else b""."""
    end = data.find(b"\r\n") + 2
    size = len(data) - end - 2
    if end > 1 and 0 < size < SMALL and data.startswith(SIZE_LINES[size]) and data.endswith(_EVENT_END):
        return data[end:-2]
    return b""


def ends_with_event(data: bytes, body: bytes) -> bool:
    """Whether a read of chunks, whose last piece of body is `body`, ends exactly with the chunk of an event.

    After a body that ends so, the last two bytes can only be its chunk's end: a size line has no line feed
    before its own end.
    """
    return data.endswith(_EVENT_END) and body.endswith(b"\n\n")
