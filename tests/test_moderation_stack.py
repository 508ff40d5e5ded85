"""A moderation model behind a worker: OpenAI's client asks it, and the gateway keeps to its rules."""

import os
import subprocess
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from openai.types import ModerationTextInputParam

from tests.support.moderation_data import CLEAN, ENDINGS
from tests.support.moderation_stack import ADMIN, OUTSIDE, Stack, listed, moderation_stack
from tests.support.processes import kodolly, wait_for

pytestmark = pytest.mark.slow
BAD = f"정말 {ENDINGS['ABUSE']}"
GOOD = f"{CLEAN[0]}. {CLEAN[1]}. "
MIXED = f"{GOOD}{BAD}. {GOOD * 200}"
"""What comes after the bad sentence takes seconds to be said."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with moderation_stack(tmp_path_factory.mktemp("stack")) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def closing() -> Iterator[None]:
    """The clients of this file are closed in the end."""
    yield
    for one in CLIENTS.values():
        one.close()


CLIENTS: dict[str, openai.OpenAI] = {}


def client(gateway: str, key: str) -> openai.OpenAI:
    """OpenAI's own, one for each key."""
    if key not in CLIENTS:
        CLIENTS[key] = openai.OpenAI(base_url=f"{gateway}/v1", api_key=key, max_retries=0)
    return CLIENTS[key]


@pytest.fixture
def gateway(stack: Stack) -> str:
    return stack.gateway


@pytest.fixture
def key(stack: Stack) -> str:
    return stack.keys["team"]


def test_openais_client_asks_it_by_name_and_without_one(stack: Stack) -> None:
    gateway = stack.gateway
    asked = client(gateway, stack.keys["guard only"])
    answer = asked.moderations.create(model="guard", input=[CLEAN[0], BAD])
    assert [one.flagged for one in answer.results] == [False, True]
    categories = answer.results[1].categories
    assert (categories.harassment, categories.self_harm, categories.violence_graphic) == (True, False, False)
    assert categories.model_extra is not None
    assert categories.model_extra["ABUSE"] is True
    assert answer.results[1].category_scores.harassment > 0.3
    assert asked.moderations.create(input=BAD).model == "guard"
    parts = asked.moderations.create(input=[ModerationTextInputParam(type="text", text=BAD)])
    assert [one.flagged for one in parts.results] == [True]


def test_a_keys_scope_holds_and_it_answers_no_chat(stack: Stack) -> None:
    gateway = stack.gateway
    other = client(gateway, stack.keys["outside only"])
    with pytest.raises(openai.PermissionDeniedError):
        other.moderations.create(model="guard", input="안녕")
    with pytest.raises(openai.BadRequestError, match="`model` is missing"):
        other.moderations.create(input="안녕")
    own = client(gateway, stack.keys["guard only"])
    with pytest.raises(openai.NotFoundError, match="does not answer /v1/chat/completions"):
        own.chat.completions.create(model="guard", messages=[{"role": "user", "content": "안녕"}])
    with pytest.raises(openai.BadRequestError, match="input must be a string"):
        own.moderations.create(model="guard", input=[])


def test_a_providers_moderation_model_is_relayed_as_it_is(stack: Stack) -> None:
    gateway = stack.gateway
    key = stack.keys["outside only"]
    body = {"model": OUTSIDE, "input": "안녕"}
    headers = {"authorization": f"Bearer {key}"}
    answer = httpx2.post(f"{gateway}/v1/moderations", json=body, headers=headers, trust_env=False)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["model"], len(said["results"])) == (OUTSIDE, 1)


def test_the_kind_is_shown_and_asking_it_is_refused_with_a_hint(stack: Stack) -> None:
    gateway = stack.gateway
    kinds = listed(gateway)
    assert (kinds["guard"], kinds[OUTSIDE], kinds["free"]) == ("moderation", None, None)
    env = {**os.environ, "KODOLLY_API_KEY": stack.keys["guard only"]}

    def said(*arguments: str) -> "subprocess.CompletedProcess[str]":
        argv = kodolly(*arguments, "--gateway", gateway)
        return subprocess.run(argv, env=env, capture_output=True, text=True, check=False)

    assert "moderation" in said("models").stdout
    refused = said("ask", "-m", "guard", "안녕")
    assert refused.returncode == 2
    assert "guard is no chat model, but one of kind moderation" in refused.stderr


def chat(gateway: str, key: str, model: str, text: str, **more: Any) -> Any:
    messages = [{"role": "user", "content": text}]
    return client(gateway, key).chat.completions.create(model=model, messages=messages, **more)  # type: ignore


def streamed(gateway: str, key: str, model: str, text: str) -> tuple[str, str]:
    """The text and the finish reason."""
    events = [event.choices[0] for event in chat(gateway, key, model, text, stream=True) if event.choices]
    return "".join(one.delta.content or "" for one in events), events[-1].finish_reason


def counted(gateway: str, code: str) -> float:
    page = httpx2.get(f"{gateway}/metrics", trust_env=False).text
    lines = [line for line in page.splitlines() if "errors_total" in line and f'"{code}"' in line]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def booked(gateway: str, name: str) -> int:
    """How many requests the ledger has as withheld, or flagged."""
    rows = (
        httpx2.get(f"{gateway}/admin/usage", headers=ADMIN, trust_env=False).raise_for_status().json()["data"]
    )
    return sum(row[name] for row in rows)


def test_a_stream_ends_before_a_sentence_that_is_withheld(stack: Stack, key: str) -> None:
    before = httpx2.get(f"{stack.echo}/_log", trust_env=False).json()["cut"]
    counts, withheld = counted(stack.gateway, "content_filter"), booked(stack.gateway, "withheld")
    text, reason = streamed(stack.gateway, key, "careful", MIXED)
    assert reason == "content_filter"
    assert text.startswith(CLEAN[0])
    assert GOOD.strip().startswith(text.strip())
    # The engine is stopped, and metrics and ledger count it.
    wait_for(lambda: httpx2.get(f"{stack.echo}/_log", trust_env=False).json()["cut"] == before + 1, 10)
    wait_for(lambda: counted(stack.gateway, "content_filter") == counts + 1, 10, what="the count")
    wait_for(lambda: booked(stack.gateway, "withheld") == withheld + 1, 10, what="the booking")


def test_clean_streams_and_answers_come_unchanged(gateway: str, key: str) -> None:
    for model in ("careful", "strict", "counted", "free"):
        assert streamed(gateway, key, model, GOOD) == (GOOD, "stop"), model
        assert chat(gateway, key, model, GOOD).choices[0].message.content == GOOD, model
    assert streamed(gateway, key, "free", BAD) == (BAD, "stop")


def test_a_plain_answer_is_withheld_in_openais_shape(gateway: str, key: str) -> None:
    (choice,) = chat(gateway, key, "careful", f"{GOOD}{BAD}").choices
    assert (choice.finish_reason, choice.message.content) == ("content_filter", "")


def test_other_dialects_say_it_in_their_own_words(gateway: str, key: str) -> None:
    asked = client(gateway, key)
    complete = asked.completions.create(model="careful", prompt=f"{GOOD}{BAD}", stream=True)
    assert [event.choices[0].finish_reason for event in complete][-1] == "content_filter"
    response = asked.responses.create(model="careful", input=f"{GOOD}{BAD}")
    assert (response.status, response.output_text) == ("incomplete", "")
    # The engine has kept it whole.
    again = asked.responses.retrieve(response.id)
    assert (again.status, again.output_text) == ("incomplete", "")
    clean = asked.responses.create(model="careful", input=GOOD)
    assert asked.responses.retrieve(clean.id).output_text == GOOD
    events = list(asked.responses.create(model="careful", input=MIXED, stream=True))
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.incomplete_details is not None
    assert events[-1].response.incomplete_details.reason == "content_filter"
    given: Any = {"model": "careful", "max_tokens": 9, "messages": [{"role": "user", "content": MIXED}]}
    with anthropic.Anthropic(base_url=gateway, api_key=key, max_retries=0) as other:
        message = other.messages.create(**given)
        assert (message.stop_reason, message.content) == ("refusal", [])
        with other.messages.stream(**given) as stream:
            assert stream.get_final_message().stop_reason == "refusal"


def test_a_blocked_question_never_reaches_the_engine(stack: Stack, key: str) -> None:
    before = httpx2.get(f"{stack.echo}/_log", trust_env=False).json()["requests"]
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as refused:
            chat(stack.gateway, key, "strict", BAD, stream=stream)
        assert refused.value.code == "content_filter"
        assert "ABUSE" in str(refused.value)
    with pytest.raises(openai.BadRequestError):
        client(stack.gateway, key).responses.create(model="strict", input=[{"role": "user", "content": BAD}])
    assert httpx2.get(f"{stack.echo}/_log", trust_env=False).json()["requests"] == before
    # The rule is about some categories alone.
    assert chat(stack.gateway, key, "strict", f"정말 {ENDINGS['CRIME']}").choices[0].finish_reason == "stop"


def test_rules_may_flag_and_may_be_about_keys(stack: Stack, key: str) -> None:
    gateway = stack.gateway
    counts, flagged = counted(gateway, "content_flagged"), booked(gateway, "flagged")
    assert streamed(gateway, key, "counted", f"{GOOD}{BAD}") == (f"{GOOD}{BAD}", "stop")
    wait_for(lambda: counted(gateway, "content_flagged") == counts + 1, 10, what="the count")
    wait_for(lambda: booked(gateway, "flagged") == flagged + 1, 10, what="the booking")
    watched = stack.keys["watched"]
    with pytest.raises(openai.BadRequestError):
        chat(gateway, watched, "free", BAD)


def test_nothing_goes_unseen_where_the_model_that_looks_is_missing(gateway: str, key: str) -> None:
    with pytest.raises(openai.InternalServerError) as refused:
        chat(gateway, key, "unseen", GOOD)
    assert refused.value.code == "moderation_unavailable"
