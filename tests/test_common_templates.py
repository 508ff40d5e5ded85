"""Every chat template byte for byte, and what must hold for each: prefixes, marks, one begin token."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import TemplateError

from common.chat_template import load_template, template_names
from common.template_facts import TEMPLATES, template_of_model
from common.template_rendering import ChatTemplate
from finetune.encoding.encode import IGNORED, encode_row
from finetune.rows.row import Row, RowTurn, to_messages
from tests.support.tiny_families import tokenizer_of

pytestmark = pytest.mark.slow

DOLLY = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request."
)
DOLLY_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request."
)
KOALPACA = (
    "Below is an instruction that describes a task.\n아래는 작업을 설명하는 명령어입니다.\n\n"
    "Write a response that appropriately completes the request.\n"
    "명령어에 따른 요청을 적절히 완료하는 응답을 작성하세요."
)
KOALPACA_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context.\n"
    "아래는 작업을 설명하는 명령어와 추가적 맥락을 제공하는 입력이 짝을 이루는 예제입니다.\n\n"
    "Write a response that appropriately completes the request.\n"
    "요청을 적절히 완료하는 응답을 작성하세요."
)
KULLM = "아래는 작업을 설명하는 명령어입니다. 요청을 적절히 완료하는 응답을 작성하세요."
KULLM_INPUT = (
    "아래는 작업을 설명하는 명령어와 추가 컨텍스트를 제공하는 입력이 짝을 이루는 예제입니다. "
    "요청을 적절히 완료하는 응답을 작성하세요."
)
VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
# ␂ stands for the begin token and ␃ for the end token; the prompts ask 가, with the context 라 in the second.
# Third: 가 was answered 나, then 다 is asked. Fourth: 가 is asked under the system message 짧게.
GOLDEN: dict[str, tuple[str, str, str, str]] = {
    "dolly": (
        f"␂{DOLLY}\n\n### Instruction:\n가\n\n### Response:\n",
        f"␂{DOLLY}\n\n### Instruction:\n가\n\nInput:\n라\n\n### Response:\n",
        f"␂{DOLLY}\n\n### Instruction:\n가\n\n### Response:\n나␃\n\n### Instruction:\n다\n\n### Response:\n",
        "␂짧게\n\n### Instruction:\n가\n\n### Response:\n",
    ),
    "alpaca": (
        f"␂{DOLLY}\n\n### Instruction:\n가\n\n### Response:",
        f"␂{DOLLY_INPUT}\n\n### Instruction:\n가\n\n### Input:\n라\n\n### Response:",
        f"␂{DOLLY}\n\n### Instruction:\n가\n\n### Response:나␃\n\n### Instruction:\n다\n\n### Response:",
        "␂짧게\n\n### Instruction:\n가\n\n### Response:",
    ),
    "koalpaca": (
        f"␂{KOALPACA}\n\n### Instruction(명령어):\n가\n\n### Response(응답):",
        f"␂{KOALPACA_INPUT}\n\n### Instruction(명령어):\n가\n\n### Input(입력):\n라\n\n### Response(응답):",
        f"␂{KOALPACA}\n\n### Instruction(명령어):\n가\n\n### Response(응답):나␃"
        "\n\n### Instruction(명령어):\n다\n\n### Response(응답):",
        "␂짧게\n\n### Instruction(명령어):\n가\n\n### Response(응답):",
    ),
    "koalpaca-polyglot": (
        "␂### 질문: 가\n\n### 답변:",
        "␂### 질문: 가\n\n### 맥락: 라\n\n### 답변:",
        "␂### 질문: 가\n\n### 답변:나␃\n\n### 질문: 다\n\n### 답변:",
        "␂### 질문: 짧게\n\n가\n\n### 답변:",
    ),
    "kullm": (
        f"␂{KULLM}\n\n### 명령어:\n가\n\n### 응답:\n",
        f"␂{KULLM_INPUT}\n\n### 명령어:\n가\n\n### 입력:\n라\n\n### 응답:\n",
        f"␂{KULLM}\n\n### 명령어:\n가\n\n### 응답:\n나␃\n\n### 명령어:\n다\n\n### 응답:\n",
        "␂짧게\n\n### 명령어:\n가\n\n### 응답:\n",
    ),
    "vicuna": (
        f"␂{VICUNA} USER: 가 ASSISTANT:",
        f"␂{VICUNA} USER: 가\n\nInput:\n라 ASSISTANT:",
        f"␂{VICUNA} USER: 가 ASSISTANT: 나␃USER: 다 ASSISTANT:",
        "␂짧게 USER: 가 ASSISTANT:",
    ),
    "openassistant": (
        "␂<|prompter|>가␃<|assistant|>",
        "␂<|prompter|>가\n\nInput:\n라␃<|assistant|>",
        "␂<|prompter|>가␃<|assistant|>나␃<|prompter|>다␃<|assistant|>",
        "␂<|system|>짧게␃<|prompter|>가␃<|assistant|>",
    ),
    "guanaco": (
        "␂### Human: 가### Assistant:",
        "␂### Human: 가\n\nInput:\n라### Assistant:",
        "␂### Human: 가### Assistant: 나␃### Human: 다### Assistant:",
        "␂짧게\n### Human: 가### Assistant:",
    ),
    "llama2": (
        "␂[INST] 가 [/INST]",
        "␂[INST] 가\n\nInput:\n라 [/INST]",
        "␂[INST] 가 [/INST] 나 ␃␂[INST] 다 [/INST]",
        "␂[INST] <<SYS>>\n짧게\n<</SYS>>\n\n가 [/INST]",
    ),
    "mistral": (
        "␂[INST] 가 [/INST]",
        "␂[INST] 가\n\nInput:\n라 [/INST]",
        "␂[INST] 가 [/INST] 나␃[INST] 다 [/INST]",
        "␂[INST] 짧게\n\n가 [/INST]",
    ),
    "mistral-v3": (
        "␂[INST] 가[/INST]",
        "␂[INST] 가\n\nInput:\n라[/INST]",
        "␂[INST] 가[/INST] 나␃[INST] 다[/INST]",
        "␂[INST] 짧게\n\n가[/INST]",
    ),
    "solar": (
        "␂### User:\n가\n\n### Assistant:\n",
        "␂### User:\n가\n\nInput:\n라\n\n### Assistant:\n",
        "␂### User:\n가\n\n### Assistant:\n나␃\n\n### User:\n다\n\n### Assistant:\n",
        "␂### System:\n짧게\n\n### User:\n가\n\n### Assistant:\n",
    ),
    "chatml": (
        "␂<|im_start|>user\n가<|im_end|>\n<|im_start|>assistant\n",
        "␂<|im_start|>user\n가\n\nInput:\n라<|im_end|>\n<|im_start|>assistant\n",
        "␂<|im_start|>user\n가<|im_end|>\n<|im_start|>assistant\n나␃\n"
        "<|im_start|>user\n다<|im_end|>\n<|im_start|>assistant\n",
        "␂<|im_start|>system\n짧게<|im_end|>\n<|im_start|>user\n가<|im_end|>\n<|im_start|>assistant\n",
    ),
}
ASKED = [{"role": "user", "content": "가"}]
CONVERSATIONS = (
    ASKED,
    [{"role": "user", "content": "가\n\nInput:\n라"}],
    [*ASKED, {"role": "assistant", "content": "나"}, {"role": "user", "content": "다"}],
    [{"role": "system", "content": "짧게"}, *ASKED],
)
KINDS = pytest.mark.parametrize("kind", ["byte-level", "llama"])
NAMES = pytest.mark.parametrize("name", sorted(TEMPLATES))


@cache
def tokenizer_for(kind: str, name: str) -> Any:
    """A tokenizer of `kind` with the template `name` and the end token that it needs."""
    tokenizer = tokenizer_of(kind)
    facts = TEMPLATES[name]
    if facts.end_token:
        tokenizer.add_special_tokens({"eos_token": facts.end_token})
    tokenizer.chat_template = load_template(name)
    return tokenizer


def rendered(tokenizer: Any, messages: Sequence[Mapping[str, object]], prompt: bool) -> str:
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt))


def test_tools_and_calls_are_written_as_vllm_hands_them_over() -> None:
    template = ChatTemplate(
        "{% for tool in tools %}{{ tool | tojson }}{% endfor %}"
        "{% for call in messages[0].tool_calls %}{{ call | tojson }}{% endfor %}"
    )
    tool = {"function": {"parameters": {"type": "object"}, "name": "find", "note": 1}, "type": "function"}
    function = {"name": "find", "arguments": {"b": 1, "a": 2}}
    call = {"id": "call00001", "type": "function", "function": function}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    assert template.render([message], [tool, {"name": "other"}], prompt=False) == (
        '{"type": "function", '
        '"function": {"name": "find", "description": null, "parameters": {"type": "object"}}}'
        '{"name": "other"}'
        '{"id": "call00001", "function": {"arguments": {"b": 1, "a": 2}, "name": "find"}, "type": "function"}'
    )


def test_the_table_has_every_template_and_each_has_golden_bytes() -> None:
    assert set(TEMPLATES) == set(template_names()) == set(GOLDEN)


@KINDS
@NAMES
def test_the_template_byte_for_byte(kind: str, name: str) -> None:
    tokenizer = tokenizer_for(kind, name)
    # A begin token that is the end token too (GPT-NeoX, GPT-J) parts documents, and no prompt began with it.
    begin = "" if tokenizer.bos_token == tokenizer.eos_token else tokenizer.bos_token
    for messages, golden in zip(CONVERSATIONS, GOLDEN[name], strict=True):
        expected = golden.replace("␂", begin).replace("␃", tokenizer.eos_token)
        assert rendered(tokenizer, messages, True) == expected


@NAMES
def test_begin_tokens_stand_once_between_template_and_tokenizer(name: str) -> None:
    tokenizer = tokenizer_for("llama", name)
    ids = tokenizer.apply_chat_template(ASKED, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert ids.count(tokenizer.bos_token_id) == 1
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer_for("byte-level", name)(ASKED[0]["content"]).keys() == {"input_ids", "attention_mask"}


words = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12
).filter(lambda text: text.strip() and "<" not in text)
exchanges = st.lists(st.tuples(words, words), min_size=1, max_size=3)


@NAMES
@settings(max_examples=10, deadline=None)
@given(system=st.none() | words, context=st.none() | words, pairs=exchanges)
def test_a_shorter_conversation_is_a_prefix_of_the_longer(
    name: str, system: str | None, context: str | None, pairs: list[tuple[str, str]]
) -> None:
    tokenizer = tokenizer_for("llama", name)
    messages = [{"role": "system", "content": system}] if system else []
    for question, answer in pairs:
        if context:
            question = f"{question}\n\nInput:\n{context}"
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    first = len(messages) % 2 + 1
    whole = rendered(tokenizer, messages, False)
    for length in range(first, len(messages) + 1):
        prompt = messages[length - 1]["role"] == "user"
        assert whole.startswith(rendered(tokenizer, messages[:length], False))
        assert whole.startswith(rendered(tokenizer, messages[:length], prompt))


@KINDS
@NAMES
@settings(max_examples=6, deadline=None)
@given(system=st.none() | words, context=st.just("") | words, pairs=exchanges)
def test_the_marks_cover_exactly_the_answers_and_their_end_tokens(
    kind: str, name: str, system: str | None, context: str, pairs: list[tuple[str, str]]
) -> None:
    tokenizer = tokenizer_for(kind, name)
    history = [RowTurn(role="system", content=system)] if system else []
    for question, answer in pairs[:-1]:
        history += [RowTurn(role="user", content=question), RowTurn(role="assistant", content=answer)]
    question, answer = pairs[-1]
    row = Row(
        instruction=question, context=context, response=answer, category="open_qa", history=tuple(history)
    )
    example = encode_row(tokenizer, row)
    spans: list[list[int]] = [[]]
    for label in example.labels:
        if label != IGNORED:
            spans[-1].append(label)
        elif spans[-1]:
            spans.append([])
    learnt = [tokenizer.decode(span).strip(" ") for span in spans if span]
    answers = [*(text for _, text in pairs[:-1]), answer.strip()]
    gap = " " if name == "llama2" else ""
    assert learnt == [f"{text}{gap}{tokenizer.eos_token}".strip(" ") for text in answers]


@KINDS
@pytest.mark.parametrize("name", ["alpaca", "koalpaca", "koalpaca-polyglot"])
def test_an_answer_that_shares_a_token_with_its_prompt_is_parted_from_it(kind: str, name: str) -> None:
    template = load_template(name)
    writer = tokenizer_of(kind, [])
    row = Row(instruction="몇 시예요?", response='"세 시"입니다.', category="open_qa")
    whole = [str(writer.apply_chat_template(to_messages(row), chat_template=template, tokenize=False))]
    tokenizer = tokenizer_of(kind, whole)
    tokenizer.chat_template = template
    prompt = rendered(tokenizer, to_messages(row)[:-1], True)
    asked = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    together = tokenizer(rendered(tokenizer, to_messages(row), False), add_special_tokens=False)["input_ids"]
    assert together[: len(asked)] != asked
    example = encode_row(tokenizer, row)
    assert example.input_ids[: example.prompt_tokens] == asked
    assert example.labels[: len(asked)] == [IGNORED] * len(asked)
    learnt = [label for label in example.labels if label != IGNORED]
    assert (
        tokenizer.decode([*asked, *learnt]) == f"{tokenizer.decode(asked)}{row.response}{tokenizer.eos_token}"
    )


@NAMES
def test_a_role_that_the_format_lacks_is_refused_in_words(name: str) -> None:
    with pytest.raises(TemplateError, match=f"The {name} template knows the roles"):
        rendered(tokenizer_for("llama", name), [*ASKED, {"role": "tool", "content": "3"}], True)
    if "first question" in TEMPLATES[name].system:
        with pytest.raises(TemplateError, match="there is none"):
            rendered(
                tokenizer_for("llama", name),
                [{"role": "system", "content": "짧게"}, {"role": "assistant", "content": "나"}],
                False,
            )


@pytest.mark.parametrize(
    ("model", "template"),
    [
        ("beomi/KoAlpaca-Polyglot-5.8B", "koalpaca-polyglot"),
        ("beomi/KoAlpaca-Polyglot-12.8B", "koalpaca-polyglot"),
        ("models--beomi--KoAlpaca-Polyglot-12.8B", "koalpaca-polyglot"),
        ("beomi/KoAlpaca-7B", "koalpaca"),
        ("nlpai-lab/kullm-polyglot-12.8b-v2", "kullm"),
        ("databricks/dolly-v2-3b", "dolly"),
        ("lmsys/vicuna-7b-v1.5", "vicuna"),
        ("junelee/ko_vicuna_7b", "vicuna"),
        ("OpenAssistant/oasst-sft-4-pythia-12b-epoch-3.5", "openassistant"),
        ("timdettmers/guanaco-33b", "guanaco"),
        ("meta-llama/Llama-2-13b-chat-hf", "llama2"),
        ("mistralai/Mistral-7B-Instruct-v0.1", "mistral"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mistral"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral-v3"),
        ("upstage/SOLAR-10.7B-Instruct-v1.0", "solar"),
        ("teknium/OpenHermes-2.5-Mistral-7B", "chatml"),
        ("EleutherAI/polyglot-ko-5.8b", None),
        ("upstage/SOLAR-10.7B-v1.0", None),
        ("meta-llama/Llama-2-13b-hf", None),
    ],
)
def test_published_models_are_known_by_their_id(model: str, template: str | None) -> None:
    assert template_of_model(model) == template
