"""What can go wrong between the page and a model, and how it is told to people."""

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

from webui.texts import Lang, text

FailureKind = Literal[
    "gateway_down",
    "gateway_key",
    "login_ended",
    "changed_meanwhile",
    "provider_key",
    "model_not_found",
    "no_such_address",
    "not_ready",
    "upstream_failed",
    "broke_off",
    "timeout",
    "rate_limited",
    "quota_spent",
    "overloaded",
    "context_too_long",
    "refused",
    "cut_off",
    "prompt_unavailable",
    "no_documents",
    "other",
]

_BY_CODE: dict[str, FailureKind] = {
    "upstream_auth_failed": "provider_key",
    "invalid_api_key": "gateway_key",
    "key_revoked": "login_ended",
    "model_not_found": "model_not_found",
    "key_changed": "changed_meanwhile",
    "name_changed": "changed_meanwhile",
    "review_changed": "changed_meanwhile",
    "model_not_ready": "not_ready",
    "upstream_failed": "upstream_failed",
    "upstream_broke_off": "broke_off",
    "upstream_timeout": "timeout",
    "rate_limit_exceeded": "rate_limited",
    "insufficient_quota": "quota_spent",
    "overloaded": "overloaded",
    "context_length_exceeded": "context_too_long",
    "prompt_unavailable": "prompt_unavailable",
    "documents_not_configured": "no_documents",
}
_SAID_OF_PROVIDERS: frozenset[FailureKind] = frozenset({"upstream_failed", "broke_off", "quota_spent"})
"""Failures that are put differently for a provider's model than for our own workers and keys."""
_BY_STATUS: dict[int, FailureKind] = {
    400: "refused",
    401: "gateway_key",
    403: "gateway_key",
    404: "model_not_found",
    413: "context_too_long",
    422: "refused",
    429: "rate_limited",
    502: "upstream_failed",
    503: "not_ready",
    504: "timeout",
}


class Failure(BaseModel):
    """One failed request, kept with the turn it belongs to."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    kind: FailureKind
    message: str = ""
    """The gateway's own words, in English; shown as detail, hidden while names are hidden."""
    request_id: str | None = None
    retry_after_s: float | None = None
    external: bool = False
    """The model is a provider's: no worker of ours, and nothing that restarts by itself."""


def failure_kind(code: object, status: int | None = None) -> FailureKind:
    """The kind of an OpenAI error object by its `code`, else by the HTTP status it came with."""
    if isinstance(code, str) and code in _BY_CODE:
        return _BY_CODE[code]
    return _BY_STATUS.get(status or 0, "other")


def headline(failure: Failure, lang: Lang) -> str:
    """What happened, in one sentence."""
    return text(lang, _key("fail", failure))


def advice(failure: Failure, lang: Lang) -> str:
    """What the reader can do about it."""
    if failure.retry_after_s and failure.kind != "quota_spent":  # waiting refills no budget
        return text(lang, "do_retry_after", seconds=round(failure.retry_after_s))
    return text(lang, _key("do", failure))


def _key(prefix: str, failure: Failure) -> str:
    other = failure.external and failure.kind in _SAID_OF_PROVIDERS
    return f"{prefix}_{failure.kind}{'_external' if other else ''}"


def text_keys() -> list[str]:
    """Every text key that a failure may ask for."""
    return [
        _key(prefix, Failure(kind=kind, external=external))
        for kind in get_args(FailureKind)
        for prefix in ("fail", "do")
        for external in (False, True)
    ]
