"""Servers that are not stock vLLM: official clients, time-outs, failover and the ledger see no difference."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
import openai
import pytest
from openai import Stream
from openai.types.chat import ChatCompletionChunk

from tests.support.conformance.endpoint import Engine, tls
from tests.support.processes import PATIENCE_S, free_port, kodolly, running, scripted_engine, wait_for
from tests.support.scripted_answers import answer_text
from tests.support.scripted_manners import MANNERS

if TYPE_CHECKING:
    import anthropic

TOKENS = 6
QUESTION: list[Any] = [{"role": "user", "content": "안녕하세요"}]
COUNTED = {"stream_options": {"include_usage": True}}
STREAMING = sorted(MANNERS.keys() - {"plain"})
SETTINGS = """
gateway:
  aliases: {aliases}
  external:
    - {{name: hasty, base_url: "{other}/v1", key_env: KEY, models: [hasty], first_event_timeout_s: 3}}
    - {{name: restless, base_url: "{engine}/v1", key_env: KEY, models: [restless], idle_timeout_s: 3}}
    - {{name: quick, base_url: "{engine}/v1", key_env: KEY, models: [quick], first_event_timeout_s: 3}}
"""


@dataclass(frozen=True)
class Site:
    """One gateway; `engine` serves the model `twin`, each alias of it being another row of the ledger."""

    gateway: str
    engine: Engine
    other: Engine
    openai: openai.OpenAI
    claude: "anthropic.Anthropic"

    def chat(self, model: str, **fields: Any) -> Stream[ChatCompletionChunk]:
        answer: Stream[ChatCompletionChunk] = self.openai.chat.completions.create(
            model=model, messages=QUESTION, max_tokens=TOKENS, stream=True, **fields
        )
        return answer

    def booked(self, model: str, outcome: str, count: int) -> dict[str, Any]:
        """The ledger's row of the model, once so many requests have ended so."""

        def row() -> dict[str, Any]:
            rows = httpx2.get(f"{self.gateway}/v1/usage", verify=tls(), trust_env=False).json()["data"]
            return next((row for row in rows if row["model"] == model), {})

        wait_for(lambda: row().get(outcome, 0) >= count, 10, what=f"the ledger of {model}")
        return row()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    import anthropic

    cwd = tmp_path_factory.mktemp("manners")
    with ExitStack() as stack:
        engine, other = (stack.enter_context(scripted_engine(cwd, "twin")) for _ in range(2))
        gateway = f"http://127.0.0.1:{free_port()}"
        names = [f"{use}-{alias(manner)}" for use in ("read", "broken") for manner in MANNERS]
        aliases = json.dumps(dict.fromkeys(names, "twin"))
        (cwd / "kodolly.yaml").write_text(SETTINGS.format(aliases=aliases, engine=engine, other=other))
        argv = kodolly("gateway", "--port", gateway.rpartition(":")[2], "--static", f"twin={engine}")
        env = {"KODOLLY_STATE_DIR": str(cwd / "state"), "KEY": "any"}
        stack.enter_context(running(argv, cwd / "gateway.log", f"{gateway}/healthz", env, cwd))
        models = f"{gateway}/v1/models"
        wait_for(lambda: "twin" in httpx2.get(models, trust_env=False).text, 10, what="the engine")
        common: dict[str, Any] = {"api_key": "any", "max_retries": 0, "timeout": PATIENCE_S}
        client = openai.DefaultHttpxClient(verify=tls(), trust_env=False)
        ours = openai.OpenAI(base_url=f"{gateway}/v1", http_client=client, **common)
        http = anthropic.DefaultHttpxClient(verify=tls(), trust_env=False)
        claude = anthropic.Anthropic(base_url=gateway, http_client=http, **common)
        with ours, claude:
            yield Site(gateway, Engine(engine), Engine(other), ours, claude)


def alias(manner: str) -> str:
    return manner.replace(" ", "-")


def chat(site: Site, model: str) -> tuple[str, int | None]:
    return of_chunks(site.chat(model))


def counted_chat(site: Site, model: str) -> tuple[str, int | None]:
    return of_chunks(site.chat(model, **COUNTED))


def of_chunks(chunks: Stream[ChatCompletionChunk]) -> tuple[str, int | None]:
    said, tokens = "", None
    for chunk in chunks:
        said += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        tokens = chunk.usage.completion_tokens if chunk.usage else tokens
    return said, tokens


def completion(site: Site, model: str) -> tuple[str, int | None]:
    asked: Any = {"model": model, "prompt": "봄에는", "max_tokens": TOKENS, "stream": True}
    chunks = site.openai.completions.create(**asked)
    return "".join(chunk.choices[0].text for chunk in chunks if chunk.choices), None


def response(site: Site, model: str) -> tuple[str, int | None]:
    with site.openai.responses.stream(model=model, input="안녕", max_output_tokens=TOKENS) as stream:
        events = list(stream)
    deltas = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    last: Any = events[-1]
    assert last.type in ("response.completed", "response.incomplete")
    assert deltas == last.response.output_text
    return deltas, last.response.usage.output_tokens


def message(site: Site, model: str) -> tuple[str, int | None]:
    asked: Any = {"model": model, "messages": QUESTION, "max_tokens": TOKENS}
    with site.claude.messages.stream(**asked) as events:
        deltas = "".join(events.text_stream)
        last = events.get_final_message()
    assert [block.text for block in last.content if block.type == "text"] == [deltas]
    return deltas, last.usage.output_tokens


WAYS = [chat, counted_chat, completion, response, message]


def test_every_client_reads_the_same_and_the_ledger_counts_the_same(site: Site) -> None:
    for manner in MANNERS:
        site.engine.script(manner=manner)
        tokens = TOKENS if manner != "no usage" else None
        for way, counted in zip(WAYS, [None, tokens, None, TOKENS, TOKENS], strict=True):
            said = way(site, f"read-{alias(manner)}")
            assert said == (answer_text("twin", TOKENS), counted), (manner, way.__name__)
    for manner in MANNERS:
        row = site.booked(f"read-{alias(manner)}", "ok", len(WAYS))
        if manner == "no usage":
            assert TOKENS * len(WAYS) <= row["completion_tokens"] <= (TOKENS + 1) * len(WAYS)
            assert row["estimated_tokens"] > 0
        else:
            assert (row["prompt_tokens"], row["completion_tokens"]) == (5 * len(WAYS), TOKENS * len(WAYS))
            assert row["estimated_tokens"] == 0, manner


def test_every_client_raises_on_a_stream_that_breaks(site: Site) -> None:
    import anthropic

    for manner in STREAMING:
        for mode in ("cut_at_token:3", "no_done"):
            site.engine.script(mode, manner=manner)
            for way in WAYS:
                with pytest.raises((openai.APIError, anthropic.APIError)):
                    assert not way(site, f"broken-{alias(manner)}"), (manner, mode, way.__name__)
    for manner in STREAMING:
        row = site.booked(f"broken-{alias(manner)}", "failed", 2 * len(WAYS))
        assert row["ok"] == 0
        assert row["completion_tokens"] >= 9 * len(WAYS), manner


@pytest.mark.parametrize("manner", ["crlf", "cr", "close", "no media type"])
@pytest.mark.parametrize("mode", ["error_at_token:3", "abort_at_token:3"])
def test_every_client_raises_on_an_engine_that_says_so(site: Site, manner: str, mode: str) -> None:
    import anthropic

    site.engine.script(mode, manner=manner)
    for way in WAYS:
        with pytest.raises((openai.APIError, anthropic.APIError)):
            way(site, "twin")


def stalled(site: Site, model: str, manner: str) -> Iterator[ChatCompletionChunk]:
    """A stream of three tokens, of which the engine sends no more until it is released."""
    site.engine.script("stall_at_token:3", manner=manner)
    chunks = iter(site.chat(model))
    for _ in range(3):
        next(chunks)
    return chunks


def test_a_stream_that_has_begun_has_all_the_time_between_its_events(site: Site) -> None:
    """Not the time until the first event, however the events are written."""
    site.other.script("stall_before_headers")
    waiting = {manner: stalled(site, "quick", manner) for manner in STREAMING}
    with pytest.raises(openai.InternalServerError, match="sent nothing for 3 s"):  # so much has passed
        list(site.chat("hasty"))
    site.engine.release()
    for manner, chunks in waiting.items():
        said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert said.count("twin-") == TOKENS - 3, manner


def test_silence_ends_every_stream_with_the_same_error(site: Site) -> None:
    waiting = {manner: stalled(site, "restless", manner) for manner in STREAMING}
    for manner, chunks in waiting.items():
        with pytest.raises(openai.APIError, match="sent nothing for 3 s"):
            list(chunks)
        assert manner
