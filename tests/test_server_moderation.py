"""Rules of moderation: what is looked at, what waits, and what goes on."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from common.errors import ModelNotReady
from server.accounts.keys import Key
from server.client.protocol import Phase
from server.client.routes import CHAT, ROUTES
from server.inference.moderated_client import ModeratedClient
from server.inference.moderation import moderation_of_stored, names_of
from server.inference.moderator import found_in, rule_for
from server.inference.spoken_text import answered_texts, asked_texts, streamed_texts
from server.settings import ExternalProvider, GatewaySettings, ModerationRule
from server.upstreams.directory import Directory
from tests.support.processes import PATIENCE_S


class Client:
    """Keeps what a client would get."""

    def __init__(self) -> None:
        self.phase, self.got, self.status = Phase.WAITING, b"", 0
        self.gone, self.writable = False, True
        self.on_writable: Any = None

    def start(self, status: int, _headers: bytes, first: bytes) -> None:
        assert self.phase is Phase.WAITING
        self.phase, self.status, self.got = Phase.ANSWERING, status, first

    def write(self, data: bytes) -> None:
        assert self.phase is Phase.ANSWERING
        self.got += data

    def end(self, data: bytes = b"") -> None:
        assert self.phase is Phase.ANSWERING
        self.phase, self.got = Phase.DONE, self.got + data

    def answer(self, status: int, _headers: bytes, *body: bytes) -> None:
        assert self.phase is Phase.WAITING
        self.phase, self.status, self.got = Phase.DONE, status, b"".join(body)


def event(text: str, index: int = 0) -> bytes:
    payload = {"id": "i", "choices": [{"index": index, "delta": {"content": text}}]}
    return f"data: {json.dumps(payload, ensure_ascii=False)}\n\n".encode()


DONE = b"data: [DONE]\n\n"


class Stage:
    """A moderated client, what was looked at, and what would be withheld."""

    def __init__(self, bad: str = "나쁨") -> None:
        self.client, self.looked, self.bad = Client(), list[str](), bad
        self.moderated = ModeratedClient(self.client, CHAT, self.look)  # type: ignore[arg-type]
        self.moderated.start(200, b"", event(""))

    async def look(self, texts: list[str]) -> bool:
        self.looked += texts
        await asyncio.sleep(0)
        return any(self.bad in text for text in texts)

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


async def test_a_sentence_waits_until_it_is_seen_and_no_longer() -> None:
    stage = Stage()
    running = asyncio.create_task(stage.moderated.run())
    await stage.settle()
    assert stage.client.got == event("")  # no text waits for nothing
    for text in ("안녕", "하세요."):
        stage.moderated.write(event(text))
    await stage.settle()
    assert stage.client.got == event("")
    stage.moderated.write(event(" 또"))
    await stage.settle()
    assert stage.client.got == event("") + event("안녕") + event("하세요.")
    assert stage.looked == ["안녕하세요."]
    stage.moderated.end(DONE)
    await running
    assert stage.client.got.endswith(event(" 또") + DONE)
    assert stage.looked == ["안녕하세요.", " 또"]
    assert stage.client.phase is Phase.DONE


async def test_a_sentence_that_is_withheld_ends_the_stream_before_it() -> None:
    stage = Stage()
    stage.moderated.write(event("좋음. 이것은 ") + event("나쁨! ") + event("더"))
    await stage.moderated.run()
    assert b"\xeb\x82\x98\xec\x81\xa8" not in stage.client.got
    last = stage.client.got.split(b"\n\n")[-3]
    assert json.loads(last.removeprefix(b"data: "))["choices"][0]["finish_reason"] == "content_filter"
    assert stage.client.got.endswith(DONE)
    assert stage.moderated.gone  # the exchange need write no more


async def test_an_event_that_goes_on_with_another_sentence_waits_for_that_too() -> None:
    stage = Stage()
    running = asyncio.create_task(stage.moderated.run())
    stage.moderated.write(event("좋음. 나"))
    await stage.settle()
    assert stage.client.got == event("")
    stage.moderated.write(event("무. "))
    await stage.settle()
    assert event("좋음. 나") in stage.client.got
    running.cancel()


async def test_choices_are_sentences_of_their_own() -> None:
    stage = Stage("가나")
    for text, index in (("가", 0), ("나", 1), ("나. ", 0)):
        stage.moderated.write(event(text, index))
    stage.moderated.end(DONE)
    await stage.moderated.run()
    assert stage.moderated.blocked


async def test_a_reader_that_is_not_served_makes_the_engine_wait() -> None:
    stage = Stage()
    went_on = asyncio.Event()
    stage.moderated.write(event("가" * 1_100_000))
    assert not stage.moderated.writable
    stage.moderated.on_writable = went_on.set
    running = asyncio.create_task(stage.moderated.run())
    stage.moderated.write(event(". 끝"))
    async with asyncio.timeout(PATIENCE_S):
        await went_on.wait()
    assert stage.moderated.writable
    running.cancel()


async def test_a_model_that_cannot_look_lets_nothing_through() -> None:
    stage = Stage()

    async def fails(_texts: list[str]) -> bool:
        raise ModelNotReady("no")

    stage.moderated.look = fails
    stage.moderated.write(event("하나. 둘"))
    with pytest.raises(ModelNotReady):
        await stage.moderated.run()
    assert stage.client.got in (b"", event(""))


@settings(max_examples=30)
@given(st.lists(st.text(alphabet="가나. !\n", max_size=6), max_size=30), st.data())
def test_what_may_pass_comes_whole_and_in_order(texts: list[str], data: st.DataObject) -> None:
    async def scenario() -> None:
        stage = Stage("없음")
        running = asyncio.create_task(stage.moderated.run())
        for text in texts:
            stage.moderated.write(event(text))
            if data.draw(st.booleans()):
                await stage.settle()
        stage.moderated.end(DONE)
        await running
        assert stage.client.got == event("") + b"".join(map(event, texts)) + DONE
        assert "".join(stage.looked) == "".join(texts)

    asyncio.run(scenario())


def test_texts_are_found_in_every_dialect() -> None:
    parts = [{"type": "text", "text": "나"}, {"type": "image_url", "image_url": {"url": "x"}}]
    turns = [
        {"role": "system", "content": "지시"},
        {"role": "user", "content": "가"},
        {"role": "assistant", "content": "답"},
        {"role": "user", "content": parts},
    ]
    assert asked_texts({"messages": turns}) == ["가", "나"]
    assert asked_texts({"prompt": ["가", "나"]}) == ["가", "나"]
    assert asked_texts({"prompt": [1, 2]}) == []
    assert asked_texts({"input": "가"}) == ["가"]
    assert asked_texts({"input": turns}) == ["가", "나"]
    assert asked_texts([1]) == asked_texts(None) == asked_texts({"messages": "x", "input": 5}) == []
    assert answered_texts({"choices": [{"message": {"content": "가", "reasoning": "나"}}]}) == ["가", "나"]
    assert answered_texts({"choices": [{"text": "가"}, 5]}) == ["가"]
    assert answered_texts({"content": [{"type": "text", "text": "가"}]}) == ["가"]
    assert answered_texts({"output": [{"content": [{"text": "가"}]}]}) == ["가"]
    responses, messages = ROUTES["/v1/responses"], ROUTES["/v1/messages"]
    delta = {"type": "response.output_text.delta", "item_id": "m", "content_index": 0, "delta": "가"}
    assert list(streamed_texts(delta, responses)) == [("m 0", "가")]
    spoken = {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "가"}}
    assert list(streamed_texts(spoken, messages)) == [("1 text", "가")]
    assert list(streamed_texts({"choices": [{"index": 0, "text": "가"}]}, CHAT)) == [("0 text", "가")]
    assert list(streamed_texts({"choices": "x"}, CHAT)) == list(streamed_texts(None, CHAT)) == []


def rule(**fields: Any) -> ModerationRule:
    return ModerationRule(model="guard", **fields)


def test_the_first_rule_about_key_and_model_holds() -> None:
    rules = (rule(keys=("k1",)), rule(keys=("team",), models=("a",)), rule(models=("b",)))
    named, other = Key("k1", "one"), Key("k2", "team")
    assert rule_for(rules, named, ("b", "b")) is rules[0]
    assert rule_for(rules, other, ("alias", "a")) is rules[1]
    assert rule_for(rules, other, ("b",)) is rules[2]
    assert rule_for(rules, other, ("c",)) is None


def test_a_rule_is_not_missed_by_another_spelling_of_the_model() -> None:
    provider = ExternalProvider(name="out", base_url="http://h/v1", key_env="K", models=("gpt",))
    directory = Directory((provider,), {"out": SecretStr("k")})
    assert {"gpt", "out/gpt"} <= names_of(directory, "out/gpt", "out/gpt")
    assert {"gpt", "out/gpt"} <= names_of(directory, "gpt", "gpt")
    assert names_of(directory, "alias", "gpt") == {"alias", "gpt", "out/gpt"}


def test_a_stored_response_is_under_the_keys_first_rule_for_answers() -> None:
    rules = (rule(looks_at="input"), rule(keys=("other",)), rule(models=("a",)), rule())
    moderator: Any = None
    found = moderation_of_stored(moderator, rules, Key("k1", "one"), "r")
    assert found is not None
    assert found.rule is rules[2]
    assert moderation_of_stored(moderator, rules[:2], Key("k1", "one"), "r") is None


def test_categories_and_levels_narrow_what_counts() -> None:
    result = {
        "categories": {"hate": True, "HATE": True, "ABUSE": True, "sexual": False},
        "category_levels": {"HATE": "high", "ABUSE": "low"},
    }
    assert found_in(result, rule()) == {"hate", "HATE", "ABUSE"}
    assert found_in(result, rule(categories=("ABUSE", "sexual"))) == {"ABUSE"}
    assert found_in(result, rule(level="medium")) == {"HATE"}
    assert found_in({"categories": {"hate": True}}, rule(level="high")) == {
        "hate"
    }  # a provider has no levels
    broken_results: list[Any] = [{}, {"categories": []}, None]
    for broken in broken_results:
        with pytest.raises(ModelNotReady):
            found_in(broken, rule())


def test_there_is_no_rule_by_default() -> None:
    assert GatewaySettings().moderation == ()
