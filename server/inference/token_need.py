"""How many tokens a request may take, as far as that is known before it runs."""

from collections.abc import Callable

import msgspec

from server.accounts.budgets import Ask
from server.client.request import RequestHead
from server.client.routes import Route

PROBABLE_ANSWER_TOKENS = 256
"""What a request without a limit probably produces: taken from the minute's tokens, and corrected later."""
LONG_ANSWER_TOKENS = 4096
"""What is set aside of a budget for an answer without a limit. Few are longer; where the model's context is
shorter, that counts."""
_list_decoder = msgspec.json.Decoder(list[msgspec.Raw])


class Need(msgspec.Struct, frozen=True):
    """Tokens of prompt and answers together."""

    tokens: int
    """Counted against the minute's."""
    ask: Ask
    """Set aside of a budget while it runs."""


NO_NEED = Need(0, Ask(0, 0))


def needed_tokens(
    head: RequestHead, route: Route, prompt: int, context_length: Callable[[], int | None]
) -> Need:
    """The need of a request whose prompt has about so many tokens; the context's length is asked for where
    nothing else ends the answer."""
    if route.spends == "nothing":
        return Need(prompt, Ask(0, 0))
    if route.spends == "prompt":
        return Need(prompt, Ask(prompt, prompt))
    answers, limit = _answers(head), _answer_limit(head)
    if limit is not None:
        tokens = prompt + answers * limit
        return Need(tokens, Ask(tokens, tokens))
    longest = LONG_ANSWER_TOKENS
    if (length := context_length()) is not None:
        longest = min(longest, max(1, length - prompt))
    return Need(prompt + answers * PROBABLE_ANSWER_TOKENS, Ask(prompt + answers * longest, prompt + answers))


def _answer_limit(head: RequestHead) -> int | None:
    """The most tokens that the client lets the engine produce for each answer."""
    for limit in (head.max_completion_tokens, head.max_tokens, head.max_output_tokens):
        if isinstance(limit, int) and limit >= 0:
            return limit
    return None


def _answers(head: RequestHead) -> int:
    """`n` for each prompt; a list of prompts is of /v1/completions."""
    n = head.n if isinstance(head.n, int) and head.n > 0 else 1
    if not head.prompt or bytes(memoryview(head.prompt)[:1]) != b"[":
        return n
    try:
        prompts = _list_decoder.decode(head.prompt)
    except msgspec.MsgspecError:
        return n
    if prompts and bytes(memoryview(prompts[0])[:1]) in (b'"', b"["):
        return n * len(prompts)
    return n  # one prompt of token ids
