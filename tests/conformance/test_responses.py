"""W27, second half: the Responses API, through the official client.

Source: https://platform.openai.com/docs/api-reference/responses and .../responses-streaming.
"""

from typing import Any

import openai
import pytest

from tests.support.conformance.endpoint import Endpoint, error_of

RESPONSES = "/v1/responses"
LAST = {"response.completed", "response.incomplete"}


def body(endpoint: Endpoint, **fields: Any) -> dict[str, Any]:
    """A small request for a response."""
    endpoint.need("responses")
    asked = {"model": endpoint.model, "input": "토큰이 무엇인가요?", "max_output_tokens": 6, "temperature": 0}
    return asked | fields


def test_w27_a_response_is_the_same_streamed_and_plain(endpoint: Endpoint, client: openai.OpenAI) -> None:
    """W27: text, status and usage."""
    plain = client.responses.create(**body(endpoint))
    events = list(client.responses.create(**body(endpoint), stream=True))
    last = events[-1]
    assert last.type in LAST
    assert plain.output_text == last.response.output_text != ""
    deltas = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert deltas == plain.output_text
    assert plain.usage is not None
    assert last.response.usage is not None
    assert plain.usage.output_tokens == last.response.usage.output_tokens == 6
    assert plain.model == last.response.model == endpoint.model


def test_w27_the_events_of_a_response_are_named_and_numbered(endpoint: Endpoint) -> None:
    """W27: names equal types, sequence numbers count from 0, one id from created to completed."""
    answer = endpoint.stream(RESPONSES, body(endpoint, stream=True))
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [event for event in answer.events() if event.data != "[DONE]"]
    payloads = [event.json() for event in events]
    assert [event.name for event in events] == [payload["type"] for payload in payloads]
    assert [payload["sequence_number"] for payload in payloads] == list(range(len(payloads)))
    assert payloads[0]["type"] == "response.created"
    assert payloads[-1]["type"] in LAST
    assert len({payload["response"]["id"] for payload in payloads if "response" in payload}) == 1


def test_w27_a_stored_response_is_found_at_the_worker_that_made_it(
    endpoint: Endpoint, client: openai.OpenAI
) -> None:
    """W27: GET and follow-ups by `previous_response_id` go to the owner, however many workers there are."""
    endpoint.need("stored-responses")
    for _ in range(6):
        made = client.responses.create(**body(endpoint, store=True))
        assert client.responses.retrieve(made.id).output_text == made.output_text
        following = client.responses.create(**body(endpoint, previous_response_id=made.id, store=True))
        assert following.previous_response_id == made.id
        assert client.responses.retrieve(following.id).id == following.id


def test_w27_the_query_of_a_stored_response_reaches_the_engine(endpoint: Endpoint) -> None:
    """W27: `?stream=true&starting_after=2`, with which a cut stream is taken up again."""
    endpoint.need("stored-responses")
    endpoint.need_engine()
    made = endpoint.send(RESPONSES, body(endpoint, store=True)).json()["id"]
    answer = endpoint.send(f"{RESPONSES}/{made}?stream=true&starting_after=2", method="GET")
    assert answer.status_code == 200
    assert endpoint.received().query == "stream=true&starting_after=2"


def test_w27_a_streamed_response_is_stored_too(endpoint: Endpoint, client: openai.OpenAI) -> None:
    """W27: the id in the events is the id to ask for."""
    endpoint.need("stored-responses")
    events = list(client.responses.create(**body(endpoint, store=True), stream=True))
    assert client.responses.retrieve(events[-1].response.id).status == events[-1].response.status


def test_w27_a_response_in_the_background_can_be_cancelled(endpoint: Endpoint, client: openai.OpenAI) -> None:
    """W27: POST /v1/responses/{id}/cancel reaches the owner. One may be done before that."""
    endpoint.need("stored-responses")
    asked = body(endpoint, background=True, store=True, max_output_tokens=900)
    cancelled = 0
    for _ in range(30):
        made = client.responses.create(**asked)
        try:
            cancelled += client.responses.cancel(made.id).status == "cancelled"
        except openai.BadRequestError:
            assert client.responses.retrieve(made.id).status in ("completed", "incomplete")
        if cancelled == 3:
            break
    assert cancelled == 3


def test_w27_an_unknown_response_is_404(endpoint: Endpoint, client: openai.OpenAI) -> None:
    """W27: an id that nobody made, in every way to use it."""
    endpoint.need("stored-responses")
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_0123456789abcdef")
    with pytest.raises(openai.NotFoundError):
        client.responses.cancel("resp_0123456789abcdef")
    with pytest.raises((openai.NotFoundError, openai.BadRequestError)):
        client.responses.create(**body(endpoint, previous_response_id="resp_0123456789abcdef"))


@pytest.mark.parametrize("path", ["/v1/responses/resp_1", "/v1/responses/resp_1/cancel"])
def test_w27_stored_responses_need_a_key(endpoint: Endpoint, path: str) -> None:
    """W27, W14: other people's answers are not open to strangers."""
    endpoint.need("responses")
    if not endpoint.asks_for_keys:
        pytest.skip("not applicable: this service asks for no key")
    method = "POST" if path.endswith("cancel") else "GET"
    answer = endpoint.send(path, method=method, headers={"authorization": "Bearer wrong-key"})
    assert (answer.status_code, error_of(answer)["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    "fields",
    [{"max_output_tokens": 10**9}, {"input": None}, {"temperature": 9}],
    ids=["tokens", "input", "heat"],
)
@pytest.mark.parametrize("stream", [False, True])
def test_w27_a_refused_response_has_a_status(
    endpoint: Endpoint, fields: dict[str, Any], stream: bool
) -> None:
    """W27, W12: mistakes have a status and OpenAI's error object, also when a stream was asked for."""
    asked = {k: v for k, v in (body(endpoint, stream=stream) | fields).items() if v is not None}
    answer = endpoint.stream(RESPONSES, asked)
    assert answer.status == 400
    error_of(answer)


BREAKS = ["cut_at_token:3", "reset_at_token:3", "error_at_token:3", "no_done"]


@pytest.mark.parametrize("mode", BREAKS)
def test_w27_a_response_that_breaks_ends_in_an_error_and_a_failed_response(
    endpoint: Endpoint, mode: str
) -> None:
    """W27, W15: an `error` event with flat fields and an `error` object, then `response.failed` with the
    response as it was and a code of OpenAI's enumeration; both are numbered on."""
    endpoint.script(mode)
    answer = endpoint.stream(RESPONSES, body(endpoint, stream=True))
    assert answer.status == 200
    *before, error, failed = [event.json() for event in answer.events() if event.data != "[DONE]"]
    assert not LAST & {event["type"] for event in before}
    assert [event["sequence_number"] for event in (*before, error, failed)] == list(range(len(before) + 2))
    assert error["type"] == "error"
    assert error["message"] == error["error"]["message"] != ""
    assert error["code"] == error["error"]["code"]
    assert failed["type"] == "response.failed"
    begun = before[0]["response"]
    assert failed["response"] | {"status": "in_progress", "error": None} == begun | {"error": None}
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"] == {"code": "server_error", "message": error["message"]}


@pytest.mark.parametrize("mode", BREAKS)
def test_w27_the_client_raises_on_a_response_that_breaks(
    endpoint: Endpoint, client: openai.OpenAI, mode: str
) -> None:
    """W27, W15: the official client raises with our words, in each of its two ways to read a stream."""
    endpoint.script(mode)
    said = ""
    with pytest.raises(openai.APIError) as raised:
        for event in client.responses.create(**body(endpoint), stream=True):
            said += event.delta if event.type == "response.output_text.delta" else ""
    assert said.count(f"{endpoint.model}-") == (6 if mode == "no_done" else 3)
    assert raised.value.message
    with pytest.raises(openai.APIError), client.responses.stream(**body(endpoint)) as stream:
        stream.get_final_response()


@pytest.mark.parametrize("mode", ["status:500", "status:503", "cut_at_token:0"])
def test_w27_a_response_that_fails_at_once_has_a_status(endpoint: Endpoint, mode: str) -> None:
    """W27, W12: a plain response of an engine that fails."""
    endpoint.script(mode)
    answer = endpoint.send(RESPONSES, body(endpoint))
    assert answer.status_code in (500, 502, 503)
    error_of(answer)
