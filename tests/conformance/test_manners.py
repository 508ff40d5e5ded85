"""W2, W5, W14, W15 and W27 behind engines that are not stock vLLM (tests/support/scripted_manners.py).

Official clients read the same from each, and raise alike when it breaks.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.support.conformance.endpoint import QUESTION, Endpoint
from tests.support.scripted_answers import answer_text
from tests.support.scripted_manners import MANNERS

if TYPE_CHECKING:
    import anthropic

STREAMING = sorted(MANNERS.keys() - {"plain"})
BREAKS = ["cut_at_token:3", "reset_at_token:3", "abort_at_token:3", "error_at_token:3", "no_done"]
OF_RESPONSES = [mode for mode in BREAKS if not mode.startswith("abort")]
"""vLLM has no word for an abort there."""
Read = Callable[[], str]


def chat(endpoint: Endpoint, client: openai.OpenAI) -> str:
    """The text of a streamed chat."""
    chunks = client.chat.completions.create(**endpoint.chat(), stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def completion(endpoint: Endpoint, client: openai.OpenAI) -> str:
    """The text of a streamed completion."""
    chunks = client.completions.create(**endpoint.completion(), stream=True)
    return "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)


def response(endpoint: Endpoint, client: openai.OpenAI) -> str:
    """The text of a streamed response."""
    endpoint.need("responses")
    asked: Any = {"model": endpoint.model, "input": "안녕", "max_output_tokens": 6, "stream": True}
    events = client.responses.create(**asked)
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def message(endpoint: Endpoint, claude: "anthropic.Anthropic") -> str:
    """The text of a streamed message."""
    asked: Any = {"model": endpoint.model, "messages": QUESTION, "max_tokens": 6}
    with claude.messages.stream(**asked) as events:
        return "".join(events.text_stream)


@pytest.mark.parametrize("manner", MANNERS)
def test_w02_official_clients_read_every_manner_alike(
    endpoint: Endpoint, client: openai.OpenAI, manner: str
) -> None:
    """W2: line ends, framing, comments, media types, and plain JSON in place of a stream."""
    endpoint.script(manner=manner)
    assert chat(endpoint, client) == completion(endpoint, client) == answer_text(endpoint.model, 6)


@pytest.mark.parametrize("manner", MANNERS)
def test_w05_usage_is_told_in_every_manner(endpoint: Endpoint, client: openai.OpenAI, manner: str) -> None:
    """W5: where the client asked for it and the engine counts, wherever the engine puts it."""
    endpoint.script(manner=manner)
    chunks = client.chat.completions.create(
        **endpoint.chat(), stream=True, stream_options={"include_usage": True}
    )
    told = [chunk.usage.completion_tokens for chunk in chunks if chunk.usage]
    assert told == ([] if manner == "no usage" else [6])


@pytest.mark.parametrize("manner", STREAMING)
def test_w15_official_clients_raise_on_every_manner_of_broken_stream(
    endpoint: Endpoint, client: openai.OpenAI, manner: str
) -> None:
    """W15, W16: chat and completions, however the stream breaks."""
    for mode in BREAKS:
        endpoint.script(mode, manner=manner)
        for read in (chat, completion):
            with pytest.raises(openai.APIError):
                pytest.fail(f"{mode}: {read(endpoint, client)}")


@pytest.mark.parametrize("manner", MANNERS)
def test_w27_official_clients_read_every_manner_of_responses_and_messages_alike(
    endpoint: Endpoint, client: openai.OpenAI, claude: "anthropic.Anthropic", manner: str
) -> None:
    """W27, W2: the same in the two other dialects."""
    endpoint.script(manner=manner)
    assert response(endpoint, client) == message(endpoint, claude) == answer_text(endpoint.model, 6)


@pytest.mark.parametrize("manner", STREAMING)
def test_w27_official_clients_raise_on_every_manner_of_broken_response_and_message(
    endpoint: Endpoint, client: openai.OpenAI, claude: "anthropic.Anthropic", manner: str
) -> None:
    """W27, W15: the same in the two other dialects."""
    import anthropic

    for mode in BREAKS:
        endpoint.script(mode, manner=manner)
        if mode in OF_RESPONSES:
            with pytest.raises(openai.APIError):
                pytest.fail(f"{mode}: {response(endpoint, client)}")
        with pytest.raises(anthropic.APIError):
            pytest.fail(f"{mode}: {message(endpoint, claude)}")


def test_w15_a_provider_may_think_for_longer_than_a_worker(endpoint: Endpoint) -> None:
    """W15: a reasoning model's silence is no failure; the same silence of a worker is."""
    if endpoint.outside is None:
        pytest.skip("not applicable: no provider is known here")
    restless = endpoint.impatient(endpoint.restless)
    with restless.openai() as client:
        endpoint.outside.script("stall_at_token:1")
        chunks = client.chat.completions.create(**endpoint.chat(model=endpoint.model_outside), stream=True)
        said = next(iter(chunks)).choices[0].delta.content or ""
        endpoint.script("stall_at_token:1")
        with pytest.raises(openai.APIError, match="sent nothing"):  # so long the provider has been silent
            chat(restless, client)
        endpoint.outside.release()
        said += "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert said == answer_text("outside", 6)


def test_w27_an_engine_that_keeps_no_responses_says_why_none_is_found(
    endpoint: Endpoint, client: openai.OpenAI
) -> None:
    """W27: the refusal names the setting, and does not say that the route is unknown."""
    endpoint.need("responses")
    endpoint.script(forgets=True)
    made = client.responses.create(model=endpoint.model, input="안녕", max_output_tokens=6)
    with pytest.raises(openai.NotFoundError, match="store") as refused:
        client.responses.retrieve(made.id)
    assert refused.value.code != "unsupported_endpoint"
    with pytest.raises(openai.NotFoundError, match="store"):
        client.responses.create(model=endpoint.model, input="그리고?", previous_response_id=made.id)


def test_w14_a_strict_provider_names_the_parameter_that_it_refuses(
    endpoint: Endpoint, client: openai.OpenAI
) -> None:
    """W14: and when it is one that the gateway has put in, which setting takes it out."""
    if endpoint.outside is None:
        pytest.skip("not applicable: no provider is known here")
    endpoint.outside.script(refuses=["stream_options", "seed"])
    asked = endpoint.chat(model=endpoint.model_outside)
    with pytest.raises(openai.BadRequestError, match="seed"):
        client.chat.completions.create(**asked, seed=1)
    with pytest.raises(openai.BadRequestError, match="`stream_options: false`"):
        client.chat.completions.create(**asked, stream=True)
