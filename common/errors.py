"""One exception tree, and how each exception is shown to an API client and to a person at a terminal.

    KodollyError                a message and what to do about it
        UserError               a bad flag, file or setting: one line, exit code 2
        ApiError                has an HTTP status and the OpenAI error fields
            BadRequest 400, InvalidApiKey 401, PermissionDenied 403, NotFound 404, ModelNotFound 404,
            MethodNotAllowed 405, Conflict 409, PayloadTooLarge 413, UnsupportedMediaType 415,
            RateLimited 429, HeadersTooLarge 431, InternalError 500, UpstreamFailed 502, ModelNotReady 503,
            Overloaded 503, UpstreamTimeout 504

The wire shape is OpenAI's error object: {"error": {"message", "type", "param", "code"}}
(https://platform.openai.com/docs/guides/error-codes).
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from common.redact import redacted_text

RETRYABLE = (408, 409, 429)
"""Statuses below 500 after which the same request may succeed."""


class KodollyError(Exception):
    """Something that a person or a client can act on. `hint` says how. URLs in both lose their secrets."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message = redacted_text(message)
        self.hint = redacted_text(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


def first_line(error: BaseException) -> str:
    """What a library's exception says first, in one line; its class's name where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


class UserError(KodollyError):
    """The command cannot go on with this flag, file or setting."""


class ApiError(KodollyError):
    """A failure with an HTTP status. Subclasses fix status, type and the default code."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    default_code: ClassVar[str | None] = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        hint: str = "",
        headers: dict[str, str] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """`details` are more fields of the error object, or other values for its own."""
        super().__init__(message, hint=hint)
        self.details = dict(details or {})
        self.param = param
        self.code = code or self.default_code
        retryable = self.status >= 500 or self.status in RETRYABLE
        # OpenAI's and Anthropic's clients: what is wrong stays wrong, and asking again only takes time.
        self.headers = ({} if retryable else {"x-should-retry": "false"}) | (headers or {})

    def body(self) -> dict[str, Any]:
        """The OpenAI error object."""
        error = error_object(str(self), type=self.type, param=self.param, code=self.code)
        error["error"] |= self.details
        return error


class BadRequest(ApiError):
    status, type = 400, "invalid_request_error"


class InvalidApiKey(ApiError):
    status, type, default_code = 401, "invalid_request_error", "invalid_api_key"


class PermissionDenied(ApiError):
    status, type, default_code = 403, "invalid_request_error", "permission_denied"


class NotFound(ApiError):
    status, type, default_code = 404, "invalid_request_error", "not_found"


class ModelNotFound(NotFound):
    default_code = "model_not_found"


class MethodNotAllowed(ApiError):
    status, type, default_code = 405, "invalid_request_error", "method_not_allowed"


class Conflict(ApiError):
    status, type, default_code = 409, "invalid_request_error", "conflict"


class PayloadTooLarge(ApiError):
    status, type, default_code = 413, "invalid_request_error", "payload_too_large"


class UnsupportedMediaType(ApiError):
    status, type, default_code = 415, "invalid_request_error", "unsupported_media_type"


class HeadersTooLarge(ApiError):
    status, type, default_code = 431, "invalid_request_error", "headers_too_large"


class RateLimited(ApiError):
    status, type, default_code = 429, "rate_limit_error", "rate_limit_exceeded"


class InternalError(ApiError):
    default_code = "internal_error"


class UpstreamFailed(ApiError):
    status, default_code = 502, "upstream_failed"


class ModelNotReady(ApiError):
    status, default_code = 503, "model_not_ready"


class Overloaded(ApiError):
    status, default_code = 503, "overloaded"


class UpstreamTimeout(ApiError):
    status, default_code = 504, "upstream_timeout"


def error_object(
    message: str, *, type: str, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """OpenAI's error object as a dict."""
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def error_bytes(error: ApiError) -> bytes:
    """The error object as UTF-8 JSON; Hangul stays readable."""
    return json.dumps(error.body(), ensure_ascii=False).encode()
