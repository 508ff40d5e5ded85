"""What a provider says of a refusal reaches the client."""

import json
from typing import Any

import pytest
from pydantic import SecretStr

from common.errors import ApiError
from server.inference.outcome import Unanswered, did_well
from server.inference.upstream_errors import from_response, unreachable
from server.upstreams.connect import ConnectFailed
from server.upstreams.upstream import Reported, Upstream

PROVIDER = Upstream("openai", "external", Reported("https://x/v1", SecretStr("k"), {}))
WORKER = Upstream("w", "worker", Reported("http://10.0.0.7:1", SecretStr("k"), {}))


def refusal(
    status: int, error: dict[str, Any], *headers: tuple[bytes, bytes], of: Upstream = PROVIDER
) -> ApiError:
    return from_response(of, status, json.dumps({"error": error}).encode(), "/v1/chat/completions", headers)


def test_rate_limits_are_told_as_the_provider_told_them() -> None:
    told = {"retry-after": "20", "retry-after-ms": "19876", "x-should-retry": "true"}
    told |= {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "19.8s"}
    headers = [(name.encode(), value.encode()) for name, value in told.items()]
    secret = [(b"set-cookie", b"a=b"), (b"openai-organization", b"org-x"), (b"content-length", b"9")]
    error = refusal(
        429, {"message": "slow down", "type": "tokens", "code": "rate_limit_exceeded"}, *headers, *secret
    )
    assert error.headers == told
    assert error.body()["error"] == {
        "message": "slow down",
        "type": "tokens",
        "param": None,
        "code": "rate_limit_exceeded",
    }


def test_an_account_without_money_is_not_asked_again() -> None:
    error = refusal(
        429,
        {"message": "You exceeded your quota", "type": "insufficient_quota", "code": "insufficient_quota"},
    )
    assert error.headers == {"x-should-retry": "false"}
    assert error.code == "insufficient_quota"


def test_without_a_word_of_the_upstream_a_client_waits_two_seconds() -> None:
    for status in (429, 503):
        assert refusal(status, {"message": "full"}, of=WORKER).headers == {"retry-after": "2"}
        assert refusal(status, {"message": "full"}).headers == {"retry-after": "2"}


@pytest.mark.parametrize("status", [400, 403])
def test_azures_inner_error_survives(status: int) -> None:
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}}
    azure = {
        "message": "filtered",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": status,
    }
    error = refusal(status, azure | {"innererror": inner})
    shown = error.body()["error"]
    assert (shown["innererror"], shown["code"], shown["param"]) == (inner, "content_filter", "prompt")
    assert shown["type"] == "invalid_request_error"


def test_the_text_of_a_providers_failure_survives_and_that_of_a_worker_does_not() -> None:
    assert "had an error while processing" in str(
        refusal(500, {"message": "The server had an error while processing"})
    )
    assert "path" not in str(refusal(500, {"message": "/secret/path"}, of=WORKER))


@pytest.mark.parametrize("body", [b"", b"[]", b'{"error": "x"}', b'{"error": []}', b"\xff", b"[" * 100_000])
def test_a_body_of_any_kind_makes_an_error(body: bytes) -> None:
    for status in (400, 401, 404, 413, 429, 500, 503):
        assert from_response(PROVIDER, status, body, "/v1/x").status >= 400


def test_why_a_provider_cannot_be_reached_is_told_and_of_workers_nothing() -> None:
    failure = ConnectFailed("10.0.0.7:1: TLS", cause="the TLS certificate is not trusted", hint="Set it.")
    assert str(unreachable(PROVIDER, failure)) == (
        "The provider 'openai' cannot be reached: the TLS certificate is not trusted. Set it."
    )
    assert str(unreachable(WORKER, failure)) == (
        "The model's worker cannot be reached. Try again in a few seconds."
    )


@pytest.mark.parametrize("upstream", [PROVIDER, WORKER])
def test_a_gateway_without_descriptors_says_that_it_is_full_and_blames_nobody(upstream: Upstream) -> None:
    failure = ConnectFailed("w:1: none left", cause="the gateway has no file descriptor left", ours=True)
    error = unreachable(upstream, failure)
    assert (error.status, error.headers["retry-after"]) == (503, "2")
    assert did_well(Unanswered(error)) is None
    assert did_well(Unanswered(unreachable(upstream, ConnectFailed("refused")))) is False
