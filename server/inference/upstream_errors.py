"""What an upstream's failure means to the client: one place, worker and provider told apart."""

import json
import re
from collections.abc import Iterable, Sequence

from common.errors import (
    ApiError,
    BadRequest,
    ModelNotFound,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    RateLimited,
    UpstreamFailed,
    UpstreamTimeout,
)
from server.upstreams.connect import ConnectFailed
from server.upstreams.upstream import Upstream

RETRYABLE = (502, 503, 504)
"""Statuses after which another worker may be asked: this one did not start the request."""


NO_MONEY = "insufficient_quota"
"""OpenAI's code for an account without money, which comes with 429."""
GUARDS = ("content_filter", "unsupported_country_region_territory")
"""Codes of refusals with 403 that are not about the key."""
TOLD_BY_WORKERS = (b"retry-after",)
TOLD_BY_PROVIDERS = (*TOLD_BY_WORKERS, b"x-should-retry", b"x-ratelimit-")
"""Beginnings of header names, in lower case."""
ANSWER_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_ANSWER_TOO_LONG = re.compile(
    r"['\"]?max_(?:completion_|output_)?tokens\b.*(?:cannot be greater|too large)", re.DOTALL
)
_NO_ROUTE = re.compile(r"(?:404 )?(?:page |file |route )?not found\.?", re.IGNORECASE)
"""What FastAPI, Starlette, Go and others say of a path that they do not know."""
_LATER_SYSTEM = re.compile(r"template knows the roles system\b.{0,80}, not system\.")
"""What our chat templates say of a system message that is not the first: some clients send several."""
ONE_SYSTEM_HINT = "Put all of them into one at the beginning."
NO_COUNTS_HINT = (
    "For a provider that refuses it, set `stream_options: false`: the gateway asks for counts with it."
)
"""For a provider such as Mistral, which refuses what it does not know."""
MESSAGE_CHARACTERS = 4000
"""How much of an upstream's message is told."""
DETAILS_BYTES = 64 * 1024
"""A larger refusal is told without its details."""
MOST_TOLD_HEADERS = 50
TOLD_HEADER_BYTES = 256
RETRY_AFTER_S = "2"
"""What a client is told to wait when the upstream does not say."""


def unreachable(upstream: Upstream, failure: ConnectFailed | None = None) -> UpstreamFailed | Overloaded:
    """No connection, or it broke before an answer came. Why a provider's did is told without addresses. 503
    where it is the gateway that has no room for one more."""
    hint = "Try again in a few seconds."
    if failure is not None and failure.ours:
        return Overloaded(
            "The gateway has no room for another connection.",
            hint=hint,
            headers={"retry-after": RETRY_AFTER_S},
        )
    if failure is None or upstream.kind == "worker":
        return UpstreamFailed(f"{_who(upstream)} cannot be reached.", hint=hint)
    return UpstreamFailed(f"{_who(upstream)} cannot be reached: {failure.cause}.", hint=failure.hint or hint)


def not_an_engine(upstream: Upstream) -> UpstreamFailed:
    """It answers, but not as an OpenAI-compatible server does: a login page, a compressed stream."""
    return UpstreamFailed(f"{_who(upstream)} does not answer as an OpenAI-compatible server.")


def too_slow(upstream: Upstream, seconds: float) -> UpstreamTimeout:
    """No first token, or silence in the middle, for longer than the limit."""
    return UpstreamTimeout(f"{_who(upstream)} sent nothing for {seconds:.0f} s.", hint="Try again later.")


def broken_off(upstream: Upstream) -> UpstreamFailed:
    """The answer began and did not end."""
    return UpstreamFailed(
        f"{_who(upstream)} broke off in the middle of the answer.",
        code="upstream_broke_off",
        hint="The text so far is incomplete; send the request again.",
    )


def endless(upstream: Upstream, what: str, limit: int) -> UpstreamFailed:
    """It sends on and on: `what` has more than `limit` bytes."""
    size = f"{limit >> 20} MiB" if limit % (1 << 20) == 0 else f"{limit:,} bytes"
    return UpstreamFailed(f"{_who(upstream)} sent {what} of more than {size}.", code="upstream_broke_off")


def from_response(
    upstream: Upstream,
    status: int,
    body: bytes,
    path: str,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> ApiError:
    """The client's error for an upstream's answer with `status` >= 400. `headers` are in lower case."""
    error = _from_status(upstream, status, body, path)
    error.headers |= told_headers(upstream, headers)
    if upstream.kind == "external" and not isinstance(error, UpstreamFailed):
        error.details |= _details(body)
    if error.code == NO_MONEY:  # waiting does not help
        error.headers.setdefault("x-should-retry", "false")
    elif error.status in (429, 503):
        error.headers.setdefault("retry-after", RETRY_AFTER_S)
    return error


def told_headers(upstream: Upstream, headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """What an upstream's headers tell the client: when to ask again and, of a provider, how much is left."""
    names = TOLD_BY_PROVIDERS if upstream.kind == "external" else TOLD_BY_WORKERS
    told = [(name, value) for name, value in headers if name.startswith(names)]
    return {
        name.decode("ascii"): value.decode("latin-1")
        for name, value in told[:MOST_TOLD_HEADERS]
        if len(name) + len(value) <= TOLD_HEADER_BYTES
    }


def _from_status(upstream: Upstream, status: int, body: bytes, path: str) -> ApiError:
    message, param, code = _fields(body)
    if upstream.kind == "external" and status in (401, 403) and code not in GUARDS:
        return UpstreamFailed(
            f"The provider {upstream.id!r} refused its API key.",
            code="upstream_auth_failed",
            hint="Put a valid key into the environment or .env and start the gateway again.",
        )
    if status == 404:
        return _not_found(message, param, code, path)
    if status == 429:
        return RateLimited(message or f"{_who(upstream)} takes no more requests now.", code=code)
    if status == 413:
        return PayloadTooLarge(message or "The request is too large.")
    if 400 <= status < 500:
        code = _limit_code(message, param) or code
        if _LATER_SYSTEM.search(message):
            said = "The model takes a system message only as the first one."
            return BadRequest(said, param="messages", code="invalid_value", hint=ONE_SYSTEM_HINT)
        strict = upstream.provider is not None and upstream.provider.stream_options
        hint = NO_COUNTS_HINT if strict and "stream_options" in message else ""
        return BadRequest(
            message or f"{_who(upstream)} refused the request.", param=param, code=code, hint=hint
        )
    said = f": {message}" if message and upstream.kind == "external" else "."
    if status == 503:
        return Overloaded(f"{_who(upstream)} takes no more requests now{said}")
    return UpstreamFailed(f"{_who(upstream)} failed with status {status}{said}")


def _details(body: bytes) -> dict[str, object]:
    """What a provider's refusal says besides message, param and code: its type, Azure's `innererror`."""
    if len(body) > DETAILS_BYTES:
        return {}
    try:
        error = json.loads(body)["error"]
        return {
            name: value
            for name, value in error.items()
            if name not in ("message", "param", "code", "status") and value is not None
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _not_found(message: str, param: str | None, code: str | None, path: str) -> NotFound:
    """What is missing: the route, when nothing but the web server has answered; else what the engine says."""
    if not message or _NO_ROUTE.fullmatch(message):
        return NotFound(f"The model does not offer {path}.", code="unsupported_endpoint")
    if path == "/v1/responses" and "esponse" in message:
        return NotFound(
            message,
            param=param,
            hint="An engine keeps responses until it ends, unless `store` was false; vLLM keeps them only"
            " when it was started with VLLM_ENABLE_RESPONSES_API_STORE=1, as `kodolly worker` starts it.",
        )
    if code == "model_not_found" or param == "model" or "model" in message.lower():
        return ModelNotFound(message, param="model")
    return NotFound(message, param=param, code=code)


def _limit_code(message: str, param: str | None) -> str | None:
    """OpenAI's code where a limit on tokens was broken. Agents cut the history down when they are told
    `context_length_exceeded`, so an answer that is asked to be too long must not be called that."""
    if param in ANSWER_LIMITS or _ANSWER_TOO_LONG.match(message):
        return "invalid_value"
    if "maximum context length" in message or "max_model_len" in message:
        return "context_length_exceeded"
    return None


_STATUSES = {
    "content_filter": 400,
    "context_length_exceeded": 400,
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    NO_MONEY: 429,
    "overloaded_error": 503,
    "timeout_error": 504,
}
"""What OpenAI's, Azure's and Anthropic's `code` or `type` of an error in a stream would be as a status."""


def from_event(upstream: Upstream, payload: dict[str, object], path: str) -> ApiError:
    """The client's error for an error that came with status 200: as an event, or as a whole answer."""
    error = payload.get("error")
    said = error if isinstance(error, dict) else payload
    found = (_status_of(said.get(name)) for name in ("code", "status", "status_code", "type"))
    status = next((status for status in found if status), 500)
    return from_response(upstream, status, json.dumps(payload).encode(), path)


def _status_of(value: object) -> int:
    """The status that a field of an error says; 0 for none."""
    if isinstance(value, str):
        return _STATUSES.get(value) or _status_of(int(value) if re.fullmatch("[45][0-9]{2}", value) else 0)
    return value if isinstance(value, int) and 400 <= value < 600 else 0


def _who(upstream: Upstream) -> str:
    return f"The provider {upstream.id!r}" if upstream.kind == "external" else "The model's worker"


def _fields(body: bytes) -> tuple[str, str | None, str | None]:
    """(message, param, code) of an error body: OpenAI's, vLLM's older flat one, or FastAPI's; else empty.
    Each is cut where it is too long to be passed on."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return "", None, None
    if not isinstance(answer, dict):
        return "", None, None
    error = answer.get("error", answer)
    if not isinstance(error, dict):
        return str(error)[:MESSAGE_CHARACTERS], None, None
    message = error.get("message") or error.get("detail") or ""
    param, code = error.get("param"), error.get("code")
    if not isinstance(message, str):
        message = json.dumps(message, ensure_ascii=False)
    return (
        message[:MESSAGE_CHARACTERS],
        param[:MESSAGE_CHARACTERS] if isinstance(param, str) else None,
        code[:MESSAGE_CHARACTERS] if isinstance(code, str) else None,
    )
