"""W1-W5: server-sent events, one identity, honest ends and usage.

Sources: the SSE chapter of the HTML standard (https://html.spec.whatwg.org/multipage/server-sent-events.html)
and OpenAI's streaming reference (https://platform.openai.com/docs/api-reference/chat-streaming).
"""

from typing import Any

import openai
import pytest

from tests.support.conformance.endpoint import QUESTION, Endpoint, error_of

FINISHED = {"stop", "length", "tool_calls", "content_filter"}
ROUTES = ["/v1/chat/completions", "/v1/completions"]


def request(endpoint: Endpoint, path: str, **fields: Any) -> dict[str, Any]:
    """A small streamed request to one of the two OpenAI routes that stream."""
    made = endpoint.chat if path.endswith("chat/completions") else endpoint.completion
    return made(stream=True, **fields)


@pytest.mark.parametrize("path", ROUTES)
def test_w01_a_stream_is_an_event_stream_that_nobody_buffers(endpoint: Endpoint, path: str) -> None:
    """W1: text/event-stream, no-cache, unbuffered by proxies (nginx's x-accel-buffering), without a length
    and uncompressed, even for clients that take gzip."""
    answer = endpoint.stream(path, request(endpoint, path), headers={"accept-encoding": "gzip, br"})
    assert answer.status == 200
    assert answer.headers["content-type"].partition(";")[0] == "text/event-stream"
    assert "no-cache" in answer.headers["cache-control"]
    assert answer.headers["x-accel-buffering"] == "no"
    assert "content-length" not in answer.headers
    assert answer.headers.get("content-encoding", "identity") == "identity"


def test_w01_tokens_come_while_the_engine_still_works(endpoint: Endpoint, client: openai.OpenAI) -> None:
    """W1: nothing between engine and client holds tokens back: here the engine waits until two came."""
    endpoint.script("stall_at_token:2")
    said = ""
    with client.chat.completions.create(**endpoint.chat(), stream=True) as stream:
        for chunk in stream:
            said += (chunk.choices[0].delta.content or "") if chunk.choices else ""
            if said.count(f"{endpoint.model}-") == 2:
                for engine in endpoint.engines:
                    engine.release()
    assert said.count(f"{endpoint.model}-") == 6


@pytest.mark.parametrize("path", ROUTES)
def test_w02_a_stream_is_whole_events_and_ends_with_exactly_one_done(endpoint: Endpoint, path: str) -> None:
    """W2: every event is `data: <json>` and an empty line; `data: [DONE]` is the last, once."""
    answer = endpoint.stream(path, request(endpoint, path))
    events = answer.events()
    assert [event.data for event in events].count("[DONE]") == 1
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert all(event.raw.startswith((b"data: ", b":")) for event in events)


@pytest.mark.parametrize("size", [1, 7])
def test_w02_events_stay_whole_when_the_engine_sends_them_in_pieces(endpoint: Endpoint, size: int) -> None:
    """W2: wherever TCP cuts the engine's stream, also inside a Hangul syllable, the same events come out."""
    endpoint.need_engine()
    body = endpoint.chat(stream=True)
    expected = [chunk["choices"] for chunk in endpoint.stream("/v1/chat/completions", body).chunks()]
    endpoint.script(split=size)
    answer = endpoint.stream("/v1/chat/completions", body)
    assert [chunk["choices"] for chunk in answer.chunks()] == expected


def test_w02_hangul_arrives_as_itself(endpoint: Endpoint, client: openai.OpenAI) -> None:
    """W2: no replacement character, and the same text streamed and plain."""
    plain = client.chat.completions.create(**endpoint.chat(max_tokens=12))
    text = plain.choices[0].message.content or ""
    chunks = client.chat.completions.create(**endpoint.chat(max_tokens=12), stream=True)
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert streamed == text
    assert any("가" <= letter <= "힣" for letter in text)
    assert "�" not in text


@pytest.mark.parametrize("path", ROUTES)
def test_w03_all_chunks_share_one_id_time_and_model(endpoint: Endpoint, path: str) -> None:
    """W3: one `id`, `created` and `model` a stream, and the model is the one that was asked for."""
    chunks = endpoint.stream(path, request(endpoint, path)).chunks()
    for name in ("id", "created", "model", "object"):
        assert len({chunk[name] for chunk in chunks}) == 1, name
    assert chunks[0]["model"] == endpoint.model
    assert isinstance(chunks[0]["created"], int)
    assert chunks[0]["id"]


def test_w03_the_first_delta_says_who_speaks(endpoint: Endpoint) -> None:
    """W3: `delta.role` is in the first chunk and in no other."""
    chunks = endpoint.stream("/v1/chat/completions", endpoint.chat(stream=True)).chunks()
    roles = [chunk["choices"][0]["delta"].get("role") for chunk in chunks if chunk["choices"]]
    assert roles[0] == "assistant"
    assert set(roles[1:]) <= {None}


def test_w03_two_requests_have_two_ids(endpoint: Endpoint, client: openai.OpenAI) -> None:
    """W3: an id names one answer."""
    ids = {client.chat.completions.create(**endpoint.chat(max_tokens=1)).id for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.parametrize("stream", [False, True])
def test_w03_an_alias_is_answered_under_the_name_that_was_asked_for(endpoint: Endpoint, stream: bool) -> None:
    """W3: `model` echoes the requested name, also of an alias."""
    if endpoint.alias is None:
        pytest.skip("not applicable: no --alias")
    body = endpoint.chat(model=endpoint.alias, stream=stream)
    if stream:
        answers = endpoint.stream("/v1/chat/completions", body).chunks()
    else:
        answers = [endpoint.send("/v1/chat/completions", body).json()]
    assert {answer["model"] for answer in answers} == {endpoint.alias}


@pytest.mark.parametrize(
    ("path", "streamed", "plain"),
    [
        ("/v1/chat/completions", "chat.completion.chunk", "chat.completion"),
        ("/v1/completions", "text_completion", "text_completion"),
    ],
)
def test_w04_every_object_says_what_it_is(endpoint: Endpoint, path: str, streamed: str, plain: str) -> None:
    """W4: the `object` of chunks and of whole answers."""
    body = request(endpoint, path)
    assert {chunk["object"] for chunk in endpoint.stream(path, body).chunks()} == {streamed}
    assert endpoint.send(path, body | {"stream": False}).json()["object"] == plain


@pytest.mark.parametrize("path", ROUTES)
def test_w04_only_the_last_chunk_has_a_finish_reason(endpoint: Endpoint, path: str) -> None:
    """W4: `finish_reason` is null until the last chunk of the choice, then one of OpenAI's."""
    chunks = [c for c in endpoint.stream(path, request(endpoint, path)).chunks() if c["choices"]]
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert set(reasons[:-1]) <= {None}
    assert reasons[-1] in FINISHED


@pytest.mark.parametrize("mode", ["abort_at_token:0", "abort_at_token:3"])
def test_w04_abort_never_reaches_the_client(endpoint: Endpoint, mode: str) -> None:
    """W4: vLLM's finish_reason `abort` (a stopped engine) is an error, not an end."""
    endpoint.script(mode)
    for body in (endpoint.chat(stream=True), endpoint.chat()):
        answer = endpoint.stream("/v1/chat/completions", body)
        assert b'"abort"' not in answer.body
        assert b'"error"' in answer.body or not body.get("stream")


@pytest.mark.parametrize("path", ROUTES)
def test_w05_usage_comes_last_and_alone_when_it_is_asked_for(endpoint: Endpoint, path: str) -> None:
    """W5: with `include_usage` the last chunk has no choices and the usage; the others have none."""
    options = {"stream_options": {"include_usage": True}}
    body = request(endpoint, path, **options)
    *others, last = endpoint.stream(path, body).chunks()
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 6
    usage = last["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert {str(chunk.get("usage")) for chunk in others} == {"None"}
    assert all(chunk["choices"] for chunk in others)


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    "options",
    [
        None,
        {},
        {"include_usage": False},
        {"include_usage": None},
        {"include_usage": False, "continuous_usage_stats": True},
    ],
    ids=str,
)
def test_w05_usage_is_absent_when_it_is_not_asked_for(
    endpoint: Endpoint, path: str, options: dict[str, Any] | None
) -> None:
    """W5: no usage and no chunk without choices, even when a gateway counts tokens for itself."""
    answer = endpoint.stream(path, request(endpoint, path, stream_options=options))
    assert answer.status == 200
    for chunk in answer.chunks():
        assert chunk["choices"] != []
        assert chunk.get("usage") is None


@pytest.mark.parametrize("asked", [False, True])
def test_w05_white_space_in_the_engines_json_changes_nothing(endpoint: Endpoint, asked: bool) -> None:
    """W5: engines other than vLLM write `"choices": []` with a space; that must not matter."""
    endpoint.script(manner="spaces")
    options = {"stream_options": {"include_usage": True}} if asked else {}
    chunks = endpoint.stream("/v1/chat/completions", endpoint.chat(stream=True, **options)).chunks()
    told = [chunk["usage"]["completion_tokens"] for chunk in chunks if chunk.get("usage")]
    assert told == ([6] if asked else [])
    assert len([chunk for chunk in chunks if chunk["choices"] == []]) == (1 if asked else 0)


def test_w05_running_usage_grows_when_it_is_asked_for(endpoint: Endpoint) -> None:
    """W5: vLLM's `continuous_usage_stats` puts the counts so far on every chunk."""
    endpoint.need("chat")
    options = {"include_usage": True, "continuous_usage_stats": True}
    chunks = endpoint.stream(
        "/v1/chat/completions", endpoint.chat(stream=True, stream_options=options)
    ).chunks()
    counts = [chunk["usage"]["completion_tokens"] for chunk in chunks]
    assert counts == sorted(counts)
    assert counts[-1] == 6


def test_w05_usage_is_the_same_streamed_and_plain(endpoint: Endpoint, client: openai.OpenAI) -> None:
    """W5: the counts do not depend on how the answer travels."""
    plain = client.chat.completions.create(**endpoint.chat()).usage
    chunks = client.chat.completions.create(
        **endpoint.chat(), stream=True, stream_options={"include_usage": True}
    )
    streamed = [chunk.usage for chunk in chunks if chunk.usage]
    assert plain is not None
    assert len(streamed) == 1
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert getattr(streamed[0], name) == getattr(plain, name)


def test_w05_stream_options_without_a_stream_are_refused(endpoint: Endpoint) -> None:
    """W5: `stream_options` is only allowed with `stream: true` (OpenAI's reference)."""
    answer = endpoint.send("/v1/chat/completions", endpoint.chat(stream_options={"include_usage": True}))
    assert answer.status_code == 400
    error_of(answer)


@pytest.mark.parametrize("options", [5, "yes", []], ids=str)
def test_w05_stream_options_of_a_wrong_kind_are_refused(endpoint: Endpoint, options: Any) -> None:
    """W5: a wrong `stream_options` is the client's mistake: 400, not 5xx and not ignored."""
    body = {"model": endpoint.model, "messages": QUESTION, "stream": True, "stream_options": options}
    assert endpoint.send("/v1/chat/completions", body).status_code == 400
