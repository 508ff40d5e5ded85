"""Why a key may not, in words that tell its owner what to do."""

from difflib import get_close_matches

from common.errors import InvalidApiKey, Overloaded, PermissionDenied, RateLimited
from server.accounts.budgets import Ask
from server.accounts.keys import Key
from server.accounts.meter import Meter

LONGEST_NAME = 500
"""So many characters of a model's name are compared with those that a key may use: more take minutes."""
_ASK_FOR_KEY = {"www-authenticate": "Bearer"}


def unknown_key(token: str, any_in_force: bool) -> InvalidApiKey:
    """Nobody has this secret."""
    if not any_in_force:
        return InvalidApiKey(
            "This gateway asks for a key, and no key is in force.",
            hint="Make one with `kodolly keys create NAME`. If there were some, look for its database.",
            headers=dict(_ASK_FOR_KEY),
        )
    return InvalidApiKey(
        "The API key is not valid." if token else "The API key is missing.",
        hint="Send it as `Authorization: Bearer <key>`.",
        headers=dict(_ASK_FOR_KEY),
    )


def expired_key(key: Key) -> InvalidApiKey:
    """Its time is over."""
    return InvalidApiKey(
        f"The API key {key.name!r} expired at {key.expires:%Y-%m-%d %H:%M} UTC.",
        hint=f"Prolong it with `kodolly keys update {key.id} --expires 30d`.",
        headers=dict(_ASK_FOR_KEY),
    )


def foreign_model(key: Key, model: str) -> PermissionDenied:
    """The key is for other models; whether there is this one is not told."""
    near = get_close_matches(model[:LONGEST_NAME], key.models or (), n=1)
    meant = f"Did you mean {near[0]!r}? " if near else ""
    return PermissionDenied(
        f"The API key {key.name!r} may not use the model {model!r}.",
        param="model",
        hint=f"{meant}`kodolly keys list` shows what it may use,"
        f" `kodolly keys update {key.id} --model NAME` changes it.",
    )


def unchecked_limits() -> Overloaded:
    """The store is gone: what it guards stays shut."""
    return Overloaded(
        "The limits of this key cannot be checked now.",
        hint="Try again in a few seconds.",
        headers={"retry-after": "2"},
    )


def over_limit(meter: Meter, tokens: int, ask: Ask, now: float) -> RateLimited:
    """The key has not got what the request needs: `tokens` of a minute, `ask` of the budget, a slot."""
    key = meter.key
    headers = dict(line.split(": ") for line in meter.header_lines(now).decode().splitlines())
    if meter.lacks_budget(ask, now):
        return _over_budget(meter, ask, headers)
    wait_s = 60 - now % 60
    if key.tokens_per_min is not None and tokens > key.tokens_per_min:
        return RateLimited(
            f"The request may need {tokens} tokens; the key {key.name!r} has only"
            f" {key.tokens_per_min} a minute.",
            hint="Ask for a shorter answer with max_tokens, or raise the limit with"
            f" `kodolly keys update {key.id} --tokens-per-min N`.",
            headers=headers | {"x-should-retry": "false"},
        )
    if key.concurrency is not None and meter.running >= meter.slots:
        wait_s, what = 1.0, f"{key.concurrency} requests at once"
    elif key.requests_per_min is not None and meter.requests.left < 1:
        what = f"{key.requests_per_min} requests a minute"
    else:
        what = f"{key.tokens_per_min} tokens a minute"
    return RateLimited(
        f"The key {key.name!r} is limited to {what}.",
        hint=f"Try again in {max(1, round(wait_s))} s.",
        headers=headers
        | {"retry-after": str(max(1, -int(-wait_s // 1))), "retry-after-ms": str(int(wait_s * 1000) + 1)},
    )


def _over_budget(meter: Meter, ask: Ask, headers: dict[str, str]) -> RateLimited:
    """What is left, and whether it is worth to ask again."""
    key, left = meter.key, meter.budget.left
    more = f"`kodolly keys update {key.id} --budget-tokens N` raises it; or wait for next month."
    if left <= 0:
        text = f"The key {key.name!r} has used up its {key.budget_tokens} tokens of this month."
    else:
        text = (
            f"Of the {key.budget_tokens} tokens that the key {key.name!r} has this month, {left} are left;"
            f" this request may need {ask.most}."
        )
        more = f"Ask for a shorter answer with max_tokens; {more}"
    if not meter.budget.is_enough_for(ask):
        return RateLimited(
            text, code="insufficient_quota", hint=more, headers=headers | {"x-should-retry": "false"}
        )
    return RateLimited(
        f"{text} Requests that run now may need the rest.",
        hint="Try again when they have ended.",
        headers=headers | {"retry-after": "1"},
    )
