"""Token counts out of an answer, whatever its dialect."""

import re

import msgspec

from server.record import Usage


class _Details(msgspec.Struct):
    cached_tokens: int | None = 0


class _Counts(msgspec.Struct):
    """OpenAI's names, and those of the Responses API and Anthropic."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    cache_read_input_tokens: int | None = None


class _Response(msgspec.Struct):
    usage: _Counts | None = None


class _Answer(msgspec.Struct):
    usage: _Counts | None = None
    response: _Response | None = None
    """In the last event of a Responses stream."""


_decoder = msgspec.json.Decoder(_Answer)

UNTIL_COUNTED = 0.3
"""Tokens a byte of JSON: Korean takes about 3 bytes a syllable and most tokenizers a token for it."""


def usage_in(answer: bytes) -> Usage | None:
    """The counts in a JSON answer or in one event's payload; None when there are none."""
    try:
        decoded = _decoder.decode(answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    counts = decoded.usage or (decoded.response.usage if decoded.response else None)
    if counts is None:
        return None
    prompt = counts.prompt_tokens if counts.prompt_tokens is not None else counts.input_tokens
    completion = counts.completion_tokens if counts.completion_tokens is not None else counts.output_tokens
    if prompt is None:
        if counts.total_tokens is None:
            return None
        prompt = counts.total_tokens - (completion or 0)
    details = counts.prompt_tokens_details or counts.input_tokens_details
    cached = (details.cached_tokens if details else counts.cache_read_input_tokens) or 0
    return Usage(max(0, prompt), max(0, completion or 0), max(0, cached))


_USAGE_OBJECT = re.compile(rb'"usage":\s*(\{[^{}]{0,2000}(?:\{[^{}]{0,2000}\}[^{}]{0,2000}){0,8}\})')


def usage_at_the_ends(first: bytes, last: bytes) -> bytes:
    """An answer with nothing but the `usage` of one of which only the first and the last part are looked at;
    b"" when it stands in neither. Inside a string its quotes would be escaped."""
    found = [*_USAGE_OBJECT.finditer(last)] or [*_USAGE_OBJECT.finditer(first)]
    return b'{"usage":%b}' % found[-1][1] if found else b""


def estimated_prompt_tokens(body_bytes: int) -> int:
    """A guess for a request body that no engine has counted, in tokens."""
    return int(body_bytes * UNTIL_COUNTED)
