"""What clients are told of an upstream's refusal."""

import json

import pytest
from pydantic import SecretStr

from server.inference.upstream_errors import from_response
from server.upstreams.upstream import Reported, Upstream

WORKER = Upstream("worker-1", "worker", Reported("http://127.0.0.1:1", SecretStr(""), {}))


def told(status: int, error: object, path: str = "/v1/chat/completions") -> tuple[int, str | None, str]:
    refusal = from_response(WORKER, status, json.dumps(error).encode(), path)
    return refusal.status, refusal.code, str(refusal)


def vllm(message: str, param: str | None = None, status: int = 400) -> object:
    return {"error": {"message": message, "type": "BadRequestError", "param": param, "code": status}}


@pytest.mark.parametrize(
    "body",
    [{"detail": "Not Found"}, {}, {"error": "404 page not found"}, {"error": {"message": "not found"}}],
)
def test_a_path_that_the_engine_does_not_know_is_not_offered(body: object) -> None:
    status, code, text = told(404, body, "/v1/messages")
    assert (status, code) == (404, "unsupported_endpoint")
    assert "/v1/messages" in text


def test_a_response_that_the_engine_has_not_kept_is_told_with_the_reason() -> None:
    said = "Response with id 'resp_1' not found."
    status, code, text = told(404, vllm(said, "response_id", 404), "/v1/responses")
    assert (status, code) == (404, "not_found")
    assert said in text
    assert "VLLM_ENABLE_RESPONSES_API_STORE=1" in text


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (vllm("The model `x` does not exist.", "model", 404), "model_not_found"),
        ({"error": {"message": "gone", "code": "model_not_found"}}, "model_not_found"),
        ({"error": {"message": "No such file: file-1", "code": "file_missing"}}, "file_missing"),
    ],
)
def test_what_else_is_missing_is_told_in_the_engines_words(error: object, code: str) -> None:
    assert told(404, error)[:2] == (404, code)


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("max_tokens=100000 cannot be greater than max_model_len=4096. (parameter=max_tokens)", None),
        ("max_completion_tokens=100000 cannot be greater than max_model_len=max_total_tokens=512", None),
        ("100000 tokens do not fit into max_model_len=4096.", "max_output_tokens"),
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 5000. This model's maximum context"
            " length is 4096 tokens and your request has 20 input tokens (5000 > 4096 - 20).",
            None,
        ),
    ],
)
def test_an_answer_that_may_not_be_so_long_is_no_prompt_that_is_too_long(
    message: str, param: str | None
) -> None:
    assert told(400, vllm(message, param))[:2] == (400, "invalid_value")


def test_a_prompt_that_is_too_long_is_told_with_openais_code() -> None:
    said = (
        "This model's maximum context length is 4096 tokens. However, your prompt contains 5000 input tokens."
    )
    assert told(400, vllm(said, "input_tokens"))[:2] == (400, "context_length_exceeded")


@pytest.mark.parametrize(
    "said",
    [
        "The dolly template knows the roles system, user and assistant, not system.",
        "The chatml template knows the roles system (first), user and assistant, not system.",
    ],
)
def test_several_system_messages_are_refused_in_words_that_help(said: str) -> None:
    status, code, text = told(400, vllm(said))
    assert (status, code) == (400, "invalid_value")
    assert "only as the first" in text
    assert "into one" in text


def test_other_roles_are_refused_in_the_templates_words() -> None:
    said = "The dolly template knows the roles system, user and assistant, not tool."
    assert told(400, vllm(said)) == (400, None, said)
