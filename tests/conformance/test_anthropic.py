"""W27, first half: the same contract for Anthropic's messages, through the official client.

Source: https://docs.anthropic.com/en/api/messages, .../messages-streaming and .../errors.
"""

import json
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from tests.support.conformance.endpoint import QUESTION, Endpoint, Streamed

if TYPE_CHECKING:
    import anthropic

MESSAGES = "/v1/messages"
ERRORS = {
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "api_error",
    "timeout_error",
    "overloaded_error",
}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["서울"]}},
    "required": ["city"],
}


def body(endpoint: Endpoint, **fields: Any) -> dict[str, Any]:
    """A small request for a message."""
    endpoint.need("messages")
    return {"model": endpoint.model, "messages": QUESTION, "max_tokens": 6, "temperature": 0} | fields


def call(endpoint: Endpoint, **fields: Any) -> dict[str, Any]:
    """The same as arguments for the client, which no longer knows `temperature`."""
    asked = body(endpoint, **fields)
    return asked | {"extra_body": {"temperature": asked.pop("temperature")}}


def error_of(answer: httpx2.Response | Streamed) -> dict[str, Any]:
    """Anthropic's error object, checked for its shape."""
    content = json.loads(answer.body if isinstance(answer, Streamed) else answer.content)
    assert content["type"] == "error", content
    error: dict[str, Any] = content["error"]
    assert error["type"] in ERRORS, error
    assert error["message"]
    return error


def test_w27_a_message_is_the_same_streamed_and_plain(
    endpoint: Endpoint, claude: "anthropic.Anthropic"
) -> None:
    """W27: text, stop reason and usage through the client's own accumulation."""
    plain = claude.messages.create(**call(endpoint))
    with claude.messages.stream(**call(endpoint)) as stream:
        streamed = stream.get_final_message()
    whole, built = plain.content[0], streamed.content[0]
    assert whole.type == built.type == "text"
    assert whole.text == built.text != ""
    assert plain.stop_reason == streamed.stop_reason == "max_tokens"
    assert plain.usage.output_tokens == streamed.usage.output_tokens == 6
    assert plain.model == streamed.model == endpoint.model


def test_w27_the_events_of_a_message_are_named_and_in_order(endpoint: Endpoint) -> None:
    """W27: message_start, blocks that start, grow and stop, message_delta, message_stop, each so named."""
    answer = endpoint.stream(MESSAGES, body(endpoint, stream=True))
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = answer.events()
    assert all(event.name == event.json()["type"] for event in events)
    names = [event.name for event in events if event.name != "ping"]
    assert names[0] == "message_start"
    assert names[-2:] == ["message_delta", "message_stop"]
    assert names.count("content_block_start") == names.count("content_block_stop") >= 1
    assert "[DONE]" not in [event.data for event in events]


def test_w27_the_key_may_come_as_x_api_key_or_bearer(endpoint: Endpoint) -> None:
    """W27: Anthropic's header, and OpenAI's for tools that only know that."""
    for headers in (
        {"authorization": "", "x-api-key": endpoint.api_key, "anthropic-version": "2023-06-01"},
        {"authorization": f"Bearer {endpoint.api_key}"},
    ):
        assert endpoint.send(MESSAGES, body(endpoint), headers=headers).status_code == 200


@pytest.mark.parametrize("key", ["wrong-key", ""])
def test_w27_a_wrong_key_is_an_authentication_error(endpoint: Endpoint, key: str) -> None:
    """W27: 401 in Anthropic's shape; the client raises its own exception."""
    import anthropic

    if not endpoint.asks_for_keys:
        pytest.skip("not applicable: this service asks for no key")
    answer = endpoint.send(MESSAGES, body(endpoint), headers={"authorization": "", "x-api-key": key})
    assert (answer.status_code, error_of(answer)["type"]) == (401, "authentication_error")
    with endpoint.anthropic("wrong-key") as stranger, pytest.raises(anthropic.AuthenticationError):
        stranger.messages.create(**call(endpoint))


@pytest.mark.parametrize(
    ("fields", "status", "kind"),
    [
        ({"model": "no-such-model"}, 404, "not_found_error"),
        ({"max_tokens": 10**9}, 400, "invalid_request_error"),
        ({"messages": []}, 400, "invalid_request_error"),
        ({"messages": None}, 400, "invalid_request_error"),
    ],
    ids=["model", "max_tokens", "messages", "null"],
)
@pytest.mark.parametrize("stream", [False, True])
def test_w27_mistakes_have_anthropics_error_object(
    endpoint: Endpoint, fields: dict[str, Any], status: int, kind: str, stream: bool
) -> None:
    """W27: the error's shape and type of the dialect, also before a stream."""
    answer = endpoint.stream(MESSAGES, body(endpoint, stream=stream) | fields)
    assert (answer.status, error_of(answer)["type"]) == (status, kind)


@pytest.mark.parametrize(
    "content", [b"{", b"", b"[1]", b'{"messages":[]}', b'{"model":"m","max_tokens":true,']
)
def test_w27_bodies_that_are_no_request_have_it_too(endpoint: Endpoint, content: bytes) -> None:
    """W27: broken JSON on this route is answered in this route's dialect."""
    endpoint.need("messages")
    answer = endpoint.send(MESSAGES, content)
    assert (answer.status_code, error_of(answer)["type"]) == (400, "invalid_request_error")


def test_w27_a_wrong_method_has_it_too(endpoint: Endpoint) -> None:
    """W27: 405 on GET /v1/messages, in the dialect."""
    endpoint.need("messages")
    answer = endpoint.send(MESSAGES, method="GET")
    assert answer.status_code == 405
    error_of(answer)


def test_w27_tokens_can_be_counted(endpoint: Endpoint, claude: "anthropic.Anthropic") -> None:
    """W27: /v1/messages/count_tokens counts what a message then costs."""
    counted = claude.messages.count_tokens(model=endpoint.model, messages=QUESTION)
    spent = claude.messages.create(**call(endpoint)).usage
    assert counted.input_tokens == spent.input_tokens > 0


def test_w27_tokens_are_counted_where_a_stream_was_asked_for(endpoint: Endpoint) -> None:
    """W27: some clients send the body of the message that they are about to ask for."""
    endpoint.need("messages")
    body = {"model": endpoint.model, "messages": QUESTION, "max_tokens": 4, "stream": True}
    answer = endpoint.send(f"{MESSAGES}/count_tokens", body)
    assert (answer.status_code, answer.json()["input_tokens"] > 0) == (200, True)


@pytest.mark.parametrize("stream", [False, True])
def test_w27_tool_use_is_the_same_streamed_and_plain(
    endpoint: Endpoint, claude: "anthropic.Anthropic", stream: bool
) -> None:
    """W27: a tool_use block with parsed input and stop_reason tool_use."""
    endpoint.need("tools")
    tools = [{"name": "get_weather", "input_schema": SCHEMA}]
    asked = call(endpoint, tools=tools, tool_choice={"type": "tool", "name": "get_weather"}, max_tokens=60)
    if stream:
        with claude.messages.stream(**asked) as events:
            message = events.get_final_message()
    else:
        message = claude.messages.create(**asked)
    (block,) = message.content
    assert block.type == "tool_use"
    assert (block.name, block.input) == ("get_weather", {"city": "서울"})
    assert message.stop_reason == "tool_use"


@pytest.mark.parametrize(
    "mode", ["cut_at_token:3", "reset_at_token:3", "abort_at_token:3", "error_at_token:3", "no_done"]
)
def test_w27_a_message_that_breaks_ends_in_an_error_event(
    endpoint: Endpoint, claude: "anthropic.Anthropic", mode: str
) -> None:
    """W27, W15: `event: error` with the error object is the last event, and the client raises."""
    import anthropic

    endpoint.script(mode)
    answer = endpoint.stream(MESSAGES, body(endpoint, stream=True))
    assert answer.status == 200
    *before, last = answer.events()
    assert last.name == "error"
    assert last.json()["type"] == "error"
    assert last.json()["error"]["type"] in ERRORS
    assert "message_stop" not in [event.name for event in before]
    assert len([event for event in before if event.name == "content_block_delta"]) == (
        6 if mode == "no_done" else 3
    )
    endpoint.script(mode)
    with pytest.raises(anthropic.APIError), claude.messages.stream(**call(endpoint)) as stream:
        stream.get_final_message()


@pytest.mark.parametrize("mode", ["status:500", "status:503", "status:429", "cut_at_token:0"])
@pytest.mark.parametrize("stream", [False, True])
def test_w27_an_engine_that_fails_at_once_gives_a_status(endpoint: Endpoint, mode: str, stream: bool) -> None:
    """W27, W12: failures before the first event have a status and this dialect's error object."""
    endpoint.script(mode)
    answer = endpoint.stream(MESSAGES, body(endpoint, stream=stream))
    if answer.status == 200 and stream and mode == "cut_at_token:0":
        # message_start comes before the first token, so the stream had begun.
        assert answer.events()[-1].name == "error"
        return
    assert answer.status in (429, 500, 502, 503, 529)
    error_of(answer)
