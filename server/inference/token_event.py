"""The one event that vLLM sends for every token, recognised by its bytes."""

import re
from dataclasses import dataclass

from server.client.chunks import SMALL, WHOLE_CHUNKS, size_line
from server.inference.dialects import first_to_care_for
from server.inference.sse import BRACE, LF, TOKEN_EVENT_BYTES, Rename, renamed


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """How the events of one stream look that bring text and nothing else, learnt from one of them.

    All bytes but the text and the counts are the same in each. A quote inside a JSON string is escaped, so
    `middle`, which begins with the text's closing quote, cannot be part of the text.
    """

    start: bytes
    """From `data:` to the text's opening quote."""
    middle: bytes
    """From the text's closing quote to the brace that opens the counts."""
    head: bytes
    """What the client gets before the first text of a chunk,"""
    between: bytes
    """between two texts,"""
    tail: bytes
    """and after the last one, with the chunk's end."""
    frame_size: int
    """Bytes of a client's chunk, without its own framing, that are not in `between.join(texts)`."""

    def relayed(self, data: bytes) -> tuple[bytes, int]:
        """The events of `data` without their counts as one chunk (RFC 9112, 7.1), and how many they are, if
        `data` is whole chunks that hold one such event each and nothing else; else b"" and 0.

        This is all that is done to most tokens. A braceless object ends at the first brace, and JSON text
        has no line feeds, so what is found between the known parts can be nothing but text and counts.
        Searching whole bytes objects is what Python is quickest with here.
        """
        chunks = data.rsplit(_CHUNK_END)
        if chunks.pop():
            return b"", 0
        texts = []
        for chunk in chunks:
            event, _, counts = chunk.rpartition(self.middle)
            line, _, text = event.partition(self.start)
            size = len(chunk) + len(_CHUNK_END)
            if size >= SMALL or line != WHOLE_CHUNKS[size] or LF in text or LF in counts or BRACE in counts:
                return b"", 0
            texts.append(text)
        joined = self.between.join(texts)
        return size_line(len(joined) + self.frame_size) + self.head + joined + self.tail, len(chunks)


_CHUNK_END = b"}}\n\n\r\n"
"""Of the counts, the event and the chunk."""
_COUNTS = b',"usage":{'

_TOKEN_EVENT = re.compile(
    rb'(data: \{"id":[^{}]*"choices":\[\{"index":\d+,(?:"delta":\{"content"|"text"):")(?:[^"\\]|\\.)*'
    rb'("[^\[\]]*"finish_reason":null[^\[\]]*\],"usage":\{)'
    rb'"prompt_tokens":\d+,[^{}]*\}\}\n\n'
)


def token_event(event: bytes, rename: Rename | None = None) -> TokenEvent | None:
    """What events like this one look like, when it is a text event of vLLM with counts; else None.

    The client gets them with the model's name as `rename` has it, which stands before the text.
    """
    found = _TOKEN_EVENT.fullmatch(event) if len(event) <= TOKEN_EVENT_BYTES else None
    if found is None or first_to_care_for(found[1] + found[2]) >= 0:
        return None
    start, middle = found[1], found[2]
    head = renamed(start, rename)
    close = middle.removesuffix(_COUNTS) + b"}\n\n"
    return TokenEvent(start, middle, head, close + head, close + b"\r\n", len(head) + len(close))
