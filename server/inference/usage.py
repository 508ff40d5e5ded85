"""Token counts out of an answer, whatever its dialect, and estimates where none are given."""

import re
from typing import Annotated

import msgspec

from server.record import Usage


class _Answer(msgspec.Struct):
    usage: object = None
    response: msgspec.Raw = msgspec.Raw(b"")
    """In the last event of a Responses stream."""
    message: msgspec.Raw = msgspec.Raw(b"")
    """In the first event of a Messages stream."""


class _Nested(msgspec.Struct):
    usage: object = None


_decoder = msgspec.json.Decoder(_Answer)
_nested_decoder = msgspec.json.Decoder(_Nested)

MOST_TOKENS = 2**32
"""No request has more. Sums of what is above would overflow the ledger."""
_Tokens = Annotated[int, msgspec.Meta(ge=1, le=MOST_TOKENS)]


class _Details(msgspec.Struct):
    cached_tokens: Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)] | None = None


class _UsualUsage(msgspec.Struct):
    prompt_tokens: _Tokens
    completion_tokens: _Tokens
    prompt_tokens_details: _Details | None = None
    input_tokens_details: None = None
    cache_read_input_tokens: None = None


class _UsualAnswer(msgspec.Struct):
    """As vLLM and OpenAI write it: read so, without an object for each field, it takes a quarter of the
    time."""

    usage: _UsualUsage


_usual_decoder = msgspec.json.Decoder(_UsualAnswer)
MOST_VALUES = 20_000
UNTIL_COUNTED = 0.3
"""Tokens a byte of JSON: Korean takes about 3 bytes a syllable and most tokenizers a token for it."""
_TEXTS = frozenset(
    ("content", "text", "reasoning", "reasoning_content", "refusal", "thinking", "arguments", "input", "name")
)
"""Fields of an answer that hold what the model wrote."""


class TokenCounts(msgspec.Struct, frozen=True):
    """What an answer says of its tokens; None where it says nothing that can be believed."""

    prompt: int | None = None
    completion: int | None = None
    cached: int = 0

    def usage(self, prompt: int, completion: int) -> Usage:
        """With these estimates in place of what is missing."""
        estimated = self.prompt is None or self.completion is None
        return Usage(
            prompt if self.prompt is None else self.prompt,
            completion if self.completion is None else self.completion,
            self.cached,
            estimated,
        )


NO_COUNTS = TokenCounts()


def counts_in(answer: bytes) -> TokenCounts:
    """The counts in a JSON answer or in one event's payload. Never raises."""
    try:
        usual = _usual_decoder.decode(answer).usage
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _counts_anywhere(answer)
    details = usual.prompt_tokens_details
    cached = details.cached_tokens if details is not None else None
    return TokenCounts(usual.prompt_tokens, usual.completion_tokens, cached or 0)


def _counts_anywhere(answer: bytes) -> TokenCounts:
    try:
        decoded = _decoder.decode(answer)
        given = decoded.usage
        if given is None:
            for nested in (decoded.response, decoded.message):
                if given is None and bytes(memoryview(nested)[:1]) == b"{":
                    given = _nested_decoder.decode(nested).usage
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return NO_COUNTS
    return counts_of(given)


def counts_of(given: object) -> TokenCounts:
    """The counts in a `usage` of any type. OpenAI's names, and those of the Responses API and Anthropic."""
    if not isinstance(given, dict):
        return NO_COUNTS
    prompt = _first_count(given, "prompt_tokens", "input_tokens")
    completion = _first_count(given, "completion_tokens", "output_tokens")
    if prompt is None or completion is None:
        total = _count(given.get("total_tokens"))
        if prompt is None and total is not None:
            prompt = max(0, total - (completion or 0))
        if completion is None and prompt is not None and total is not None:
            completion = max(0, total - prompt)
    if not prompt and not completion:
        return NO_COUNTS  # no prompt is empty: some servers fill in zeros
    details = given.get("prompt_tokens_details") or given.get("input_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    read = given.get("cache_read_input_tokens")
    found = (_count(cached) if cached else None) or (_count(read) if read else None)
    return TokenCounts(prompt, completion, found or 0)


def _first_count(given: dict[str, object], *names: str) -> int | None:
    for name in names:
        if (value := given.get(name)) is not None and (count := _count(value)) is not None:
            return count
    return None


def _count(value: object) -> int | None:
    """A count as some servers write it (`11.0`); None for what is none."""
    if type(value) is int:
        return value if 0 <= value <= MOST_TOKENS else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or value is True:
        return None
    return int(value) if 0 <= value <= MOST_TOKENS else None


_USAGE_OBJECT = re.compile(rb'"usage":\s*(\{[^{}]{0,2000}(?:\{[^{}]{0,2000}\}[^{}]{0,2000}){0,8}\})')


def usage_at_the_ends(first: bytes, last: bytes) -> bytes:
    """An answer reduced to the `usage` that is found in its first or last part; b"" when it is in
    neither. Inside a string its quotes would be escaped."""
    found = [*_USAGE_OBJECT.finditer(last)] or [*_USAGE_OBJECT.finditer(first)]
    return b'{"usage":%b}' % found[-1][1] if found else b""


def estimated_answer_tokens(answer: bytes) -> int:
    """A guess for a whole answer that no engine has counted, from the text in it, in tokens; of one with very
    many values from its size."""
    if sum(map(answer.count, (b",", b"[", b"{"))) > MOST_VALUES:
        return _tokens(len(answer))
    try:
        return _tokens(_text_bytes(msgspec.json.decode(answer), is_text=False))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _tokens(len(answer))  # a transcript as plain text, or compressed


def _text_bytes(value: object, *, is_text: bool) -> int:
    """Bytes of the strings in fields that hold text."""
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass")) if is_text else 0
    if isinstance(value, list):
        return sum(_text_bytes(part, is_text=is_text) for part in value)
    if isinstance(value, dict):
        return sum(_text_bytes(part, is_text=is_text or name in _TEXTS) for name, part in value.items())
    return 0


def _tokens(text_bytes: int) -> int:
    return -int(-text_bytes * UNTIL_COUNTED // 1)
