"""Answers are learnt exactly as an engine would see them, whatever the chat template; else refused."""

import importlib.util
import os
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.template_rendering import ChatTemplate, TemplateRefusal
from common.thought_marks import behind_thought
from finetune.encoding.answer_chains import chains
from finetune.encoding.own_template import EngineConversation, NotLearnable, OwnTemplate
from finetune.encoding.text_ids import decoded
from tests.support import own_templates
from tests.support.own_templates import own

pytestmark = pytest.mark.slow  # transformers' tokenizers

S = {"role": "system", "content": "당신은 친절한 비서입니다."}
CALL = {
    "id": "call00001",
    "type": "function",
    "function": {"name": "get_weather", "arguments": {"city": "서울", "days": 3}},
}


def u(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def a(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


TWO = [S, u("하늘은?"), a("파랗습니다."), u("바다는?"), a("깊습니다.")]


def answers(messages: list[dict[str, Any]]) -> list[int]:
    return [n for n, message in enumerate(messages) if message["role"] == "assistant"]


def learnt(template: OwnTemplate, messages: list[dict[str, Any]], **kwargs: Any) -> list[list[str]]:
    """Of each sequence the texts that are learnt."""
    found = []
    for chain in chains(template, EngineConversation(messages, (), kwargs), answers(messages)):
        spans: list[list[int]] = []
        for place, one in enumerate(chain.learnt):
            if one and (place == 0 or not chain.learnt[place - 1]):
                spans.append([])
            if one:
                spans[-1].append(chain.ids[place])
        found.append([decoded(template.tokenizer, span) for span in spans])
    return found


def contexts(template: OwnTemplate, messages: list[dict[str, Any]], **kwargs: Any) -> list[str]:
    """Of each sequence all that stands before its last answer, as text."""
    return [
        decoded(template.tokenizer, chain.answers[-1].prompt_ids)
        for chain in chains(template, EngineConversation(messages, (), kwargs), answers(messages))
    ]


def refusal(template: OwnTemplate, messages: list[dict[str, Any]], **kwargs: Any) -> str:
    with pytest.raises(NotLearnable) as told:
        learnt(template, messages, **kwargs)
    return str(told.value)


@pytest.mark.parametrize("kind", ["byte-level", "llama"])
def test_a_plain_conversation_is_one_sequence_that_learns_answers_and_their_ends(kind: str) -> None:
    template = own(own_templates.PLAIN, "<|im_end|>", kind=kind)
    assert learnt(template, TWO) == [["파랗습니다.<|im_end|>", "깊습니다.<|im_end|>"]]


def test_a_template_that_strips_past_reasoning_gives_each_answer_the_prompt_of_its_own_turn() -> None:
    template = own(own_templates.THINKING, "<|im_end|>")
    messages = [
        u("2+2?"),
        a("4", reasoning_content="둘 더하기 둘"),
        u("3+3?"),
        a("6", reasoning_content="셋"),
    ]
    assert learnt(template, messages) == [
        ["<think>\n둘 더하기 둘\n</think>\n\n4<|im_end|>"],
        ["<think>\n셋\n</think>\n\n6<|im_end|>"],
    ]
    assert "둘 더하기" not in contexts(template, messages)[1]


def test_with_the_switch_the_empty_thought_belongs_to_the_prompt_and_is_not_learnt() -> None:
    template = own(own_templates.THINKING, "<|im_end|>")
    assert learnt(template, [u("q"), a("답")], enable_thinking=False) == [["답<|im_end|>"]]
    assert contexts(template, [u("q"), a("답")], enable_thinking=False)[0].endswith("</think>\n\n")


def test_tool_calls_are_learnt_and_their_results_are_not() -> None:
    template = own(own_templates.THINKING, "<|im_end|>")
    result = {"role": "tool", "content": "맑음", "tool_call_id": "call00001"}
    first = a("", tool_calls=[CALL], reasoning_content="도구를 쓰자")
    said = learnt(template, [u("날씨?"), first, result, a("맑아요.", reasoning_content="전하자")])
    assert '{"name": "get_weather", "arguments": {"city": "서울", "days": 3}}' in said[0][0]
    assert said[0][1] == "<think>\n전하자\n</think>\n\n맑아요.<|im_end|>"
    assert "맑음" not in "".join(said[0])


def test_a_system_prompt_that_stands_in_the_last_turn_alone_is_in_every_context() -> None:
    template = own(own_templates.SYSTEM_IN_LAST_TURN, "</s>")
    assert learnt(template, TWO) == [[" 파랗습니다.</s>"], [" 깊습니다.</s>"]]
    assert all("친절한" in context for context in contexts(template, TWO))


def test_a_question_of_one_word_has_its_answer_learnt_where_the_system_message_stands_in_front_of_it() -> (
    None
):
    template = own(own_templates.SYSTEM_IN_LAST_TURN, "</s>")
    short = [S, u("왜?"), a("그냥요."), u("응"), a("네.")]
    assert learnt(template, short) == [[" 그냥요.</s>"], [" 네.</s>"]]
    assert all(context.startswith("[INST] ") for context in contexts(template, short))


def test_a_call_is_learnt_where_the_system_message_stands_in_the_last_question_alone() -> None:
    template = own(own_templates.BRACKETED_CALLS, "</s>")
    messages = [S, u("날씨?"), a("", tool_calls=[CALL]), {"role": "tool", "content": "맑음"}, a("맑아요.")]
    call = '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "서울", "days": 3}}]</s>'
    assert learnt(template, messages) == [[call], ["맑아요.</s>"]]
    assert [S["content"] in context for context in contexts(template, messages)] == [True, False]


def test_every_answer_ends_with_a_token_at_which_the_engine_stops_also_in_the_past() -> None:
    template = own(own_templates.OTHER_END_IN_HISTORY, "<|return|>")
    assert [one.rpartition("<")[2] for chain in learnt(template, TWO) for one in chain] == ["|return|>"] * 2


def test_the_date_is_frozen() -> None:
    template = own(own_templates.DATED, "<|im_end|>", day=date(2026, 11, 1))
    assert template.template.dated
    assert contexts(template, TWO)[0].startswith("Today: 01 November 2026\n")


def test_contents_are_lists_of_parts_where_the_template_loops_over_them() -> None:
    template = own(own_templates.PARTS, "<|im_end|>")
    assert template.template.takes_parts
    assert not own(own_templates.PLAIN, "<|im_end|>").template.takes_parts
    # The template trims strings alone, so a blank that is left shows which of the two it was given.
    assert "끝. <|im_end|>" in contexts(template, [u("끝. "), a("네.")])[0]


def test_blanks_that_the_template_trims_are_noted() -> None:
    template = own(own_templates.TRIMS, "<|im_end|>")
    conversation = EngineConversation([u("q"), a(" 네. ")])
    assert chains(template, conversation, [1])[0].answers[0].trims
    assert learnt(template, [u("q"), a(" 네. ")]) == [["네.<|im_end|>"]]


def test_a_thought_that_the_prompt_opens_must_be_closed() -> None:
    template = own(own_templates.OPENS_THOUGHT, "<|im_end|>")
    assert "<think>" in refusal(template, [u("q"), a("답")]) or "begins" in refusal(
        template, [u("q"), a("답")]
    )


@pytest.mark.parametrize(
    ("opened", "said"),
    [("<think>\n", "</think>\n\n답<|im_end|>"), ("<think>", "\n</think>\n\n답<|im_end|>")],
)
def test_asked_to_an_answer_closes_the_thought_that_every_prompt_opens(opened: str, said: str) -> None:
    text = own_templates.OPENS_THOUGHT.replace("<think>\n", opened)
    template = replace(own(text, "<|im_end|>"), closes_thoughts=True)
    assert learnt(template, [u("q"), a("답"), u("r"), a("답")]) == [[said]] * 2
    assert contexts(template, [u("q"), a("답")])[0].endswith(f"assistant\n{opened}")
    assert "opens a thought" in refusal(template, [u("q"), a("답", reasoning_content="왜냐하면")])


def test_the_answer_is_what_comes_behind_a_thought_that_the_prompt_opened() -> None:
    template = own(own_templates.OPENS_THOUGHT, "<|im_end|>")
    prompt = template.render(EngineConversation([u("q")]), 1, prompt=True)
    assert behind_thought(prompt, "왜냐하면\n</think>\n\n답") == "답"
    assert behind_thought(prompt, "끝나지 않은") == "끝나지 않은"
    assert behind_thought("<|im_start|>assistant\n", "</think> 답") == "</think> 답"


def test_the_empty_thought_has_the_templates_own_form_where_it_writes_thoughts() -> None:
    text = own_templates.OPENS_THOUGHT.replace(
        "m.content", "('<think>\n' + m.thinking + '\n</think>\n\n' if m.thinking else '') + m.content"
    )
    template = replace(own(text, "<|im_end|>"), closes_thoughts=True)
    assert learnt(template, [u("q"), a("답")]) == [["\n</think>\n\n답<|im_end|>"]]
    assert learnt(template, [u("q"), a("답", reasoning_content="왜냐하면")]) == [
        ["왜냐하면\n</think>\n\n답<|im_end|>"]
    ]


def test_an_answer_may_end_with_the_next_turns_token() -> None:
    template = own(own_templates.ENDS_BY_NEXT_ROLE, "<|user|>", "<|tool|>")
    assert learnt(template, [u("q"), a("답1"), u("r"), a("답2")]) == [["답1<|user|>", "답2<|user|>"]]
    assert "nothing at which the engine stops" in refusal(own(own_templates.NO_END, "<|im_end|>"), TWO)


def test_what_comes_behind_the_first_end_token_is_not_learnt() -> None:
    template = own(own_templates.ENDS_TWICE, "<|im_end|>", "<|endoftext|>")
    assert learnt(template, TWO) == [["파랗습니다.<|im_end|>", "깊습니다.<|im_end|>"]]


def test_what_the_template_drops_is_refused_by_its_name() -> None:
    template = own(own_templates.PLAIN, "<|im_end|>")
    assert refusal(template, [u("q"), a("답", reasoning_content="왜냐하면")]).endswith("drops its reasoning")
    assert "tool name, tool argument" in refusal(template, [u("q"), a("", tool_calls=[CALL])])


def test_a_template_that_raises_is_quoted() -> None:
    told = refusal(own(own_templates.RAISES, "<|im_end|>"), TWO)
    assert told == "the chat template refuses it: System role not supported"
    with pytest.raises(TemplateRefusal, match="not valid Jinja"):
        ChatTemplate("{% for m in messages %}").variables  # noqa: B018


def test_a_variable_that_nobody_gives_is_found_and_a_switch_is_not_one() -> None:
    assert ChatTemplate(own_templates.UNKNOWN).unknown_variables() == ["preamble"]
    assert ChatTemplate(own_templates.THINKING).unknown_variables() == []
    assert "enable_thinking" in ChatTemplate(own_templates.THINKING).variables


def test_a_developers_message_becomes_the_one_system_message_as_in_vllm() -> None:
    template = own(own_templates.PLAIN, "<|im_end|>")
    messages = [S, {"role": "developer", "content": "짧게."}, u("q"), a("답")]
    assert contexts(template, messages)[0].startswith(
        f"<|im_start|>system\n{S['content']}\n\n짧게.<|im_end|>"
    )


WORDS = st.text(st.sampled_from("가나다 ab1\n\"'[](){}.,:<>|/"), min_size=1, max_size=12)
EXCHANGES = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=3)
FORMS = {
    name: own(text, *stops)
    for name, text, stops in (
        ("plain", own_templates.PLAIN, ("<|im_end|>",)),
        ("thinking", own_templates.THINKING, ("<|im_end|>",)),
        ("last turn", own_templates.SYSTEM_IN_LAST_TURN, ("</s>",)),
        ("other end", own_templates.OTHER_END_IN_HISTORY, ("<|return|>",)),
        ("next role", own_templates.ENDS_BY_NEXT_ROLE, ("<|user|>",)),
    )
}


@pytest.mark.parametrize("form", FORMS)
@given(exchanges=EXCHANGES)
def test_whatever_is_said_the_answers_alone_are_learnt_behind_the_engines_prompts(
    form: str, exchanges: list[tuple[str, str]]
) -> None:
    template = FORMS[form]
    messages = [message for question, answer in exchanges for message in (u(question), a(answer))]
    try:
        made = chains(template, EngineConversation(messages), answers(messages))
    except NotLearnable:
        return
    told = [answer for chain in made for answer in chain.answers]
    assert [answer.index for answer in told] == answers(messages)
    for chain in made:
        for answer in chain.answers:
            text = template.render(EngineConversation(messages), answer.index, prompt=True)
            prompt = template.tokenizer(text, add_special_tokens=False)["input_ids"]
            assert chain.ids[: len(prompt)] == prompt
            said = template.tokenizer.decode(answer.ids)
            assert messages[answer.index]["content"].strip() in said
            assert all(chain.learnt[len(prompt) : len(prompt) + len(answer.ids)])
    assert sum(sum(chain.learnt) for chain in made) == sum(len(answer.ids) for answer in told)


def published_templates() -> list[Path]:
    """Templates of other projects, where their packages or a hub cache are on this machine."""
    package = importlib.util.find_spec("trl")
    folders = [
        Path(place) / "chat_templates" for place in (package and package.submodule_search_locations) or ()
    ]
    hub = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface")) / "hub"
    packaged = [path for folder in folders for path in sorted(folder.glob("*.jinja"))]
    return [*packaged[::4], *sorted(hub.glob("models--*/snapshots/*/chat_template.jinja"))]


def test_published_templates_are_rendered_as_transformers_renders_them() -> None:
    if not (found := published_templates()):
        pytest.skip("no published template on this machine")
    tokenizer = own(own_templates.PLAIN, "<|im_end|>").tokenizer
    compared = 0
    for path in found:
        template = ChatTemplate(path.read_text(encoding="utf-8"), tokenizer.special_tokens_map)
        assert template.unknown_variables() == [], path
        for messages in (TWO[1:], TWO[1:4], [u("2+2?"), a("4", reasoning_content="둘 더하기 둘")]):
            for prompt in (True, False):
                options: dict[str, Any] = {
                    "add_generation_prompt": prompt,
                    "tokenize": False,
                    "chat_template": template.text,
                }
                seen = template.as_engine_sees(messages)
                try:
                    expected = tokenizer.apply_chat_template(seen, **options)
                except Exception:  # a template that wants images, say
                    continue
                assert template.render(messages, prompt=prompt) == expected, path
                compared += 1
    assert compared
