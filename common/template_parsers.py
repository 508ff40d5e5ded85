"""Which of vLLM's parsers reads what a model writes, found by having its chat template write it.

One tool call and one thought are rendered; the marks around them say which format it is. The names are
vLLM 0.32's (vllm/tool_parsers/__init__.py, vllm/reasoning/__init__.py).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common.chat_message import ChatMessage
from common.template_rendering import ChatTemplate, TemplateRefusal
from common.template_switches import Kwargs, candidates
from common.thought_marks import closes_thought, opened_thought

ASK, NAME, CITY, THOUGHT, ANSWER = (
    "지금날씨어때",
    "probe_weather",
    "제주특별자치도",
    "하늘을본다고한다",
    "맑다고합니다",
)
TOOL = {
    "type": "function",
    "function": {
        "name": NAME,
        "description": "날씨",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALL = {"id": "call00001", "type": "function", "function": {"name": NAME, "arguments": {"city": CITY}}}
ASKED: ChatMessage = {"role": "user", "content": ASK}
TOOL_MARKS = (
    (r"<seed:tool_call>", "seed_oss"),
    (r"<minimax:tool_call>", "minimax_m2"),
    (rf"<function={NAME}>", "qwen3_coder"),
    (r"<tool_call>\s*\{", "hermes"),
    (rf"<tool_call>{NAME}\s*<arg_key>", "glm45"),
    (r"<\|tool_call>", "gemma4"),
    (rf"to=functions\.{NAME}", "openai"),
    (r"\[TOOL_CALLS\]", "mistral"),
    (r"<\|tool_call_start\|>", "lfm2"),
    (r"<\|tool_calls_section_begin\|>", "kimi_k2"),
    (r"<｜tool▁calls▁begin｜>.*<｜tool▁sep｜>.*```json", "deepseek_v3"),
    (r"<｜tool▁calls▁begin｜>", "deepseek_v31"),
    (r"<function_calls>", "olmo3"),
    (r"<\|START_ACTION\|>", "cohere_command3"),
    (rf'\{{"name": "{NAME}", "parameters": ', "llama3_json"),
    (rf"\[{NAME}\(", "pythonic"),
)
"""(what stands in a rendered call, parser); the first that is found counts."""
THOUGHT_MARKS = {
    "<|channel>thought": "gemma4",
    "<|channel|>analysis": "openai_gptoss",
    "[THINK]": "mistral",
    "<seed:think>": "seed_oss",
    "<|START_THINKING|>": "cohere_command3",
}
"""Marks of one parser alone; of `<think>` there are several, which differ in what they take for granted."""
_DEEPSEEK_CALLS = ("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>")
TOOL_TOKENS = {
    "llama3_json": ("<|python_tag|>",),
    "mistral": ("[TOOL_CALLS]",),
    "lfm2": ("<|tool_call_start|>", "<|tool_call_end|>"),
    "deepseek_v3": _DEEPSEEK_CALLS,
    "deepseek_v31": _DEEPSEEK_CALLS,
}
"""Parser of calls to the tokens without which vLLM does not start with it."""
THOUGHT_TOKENS = {
    "mistral": ("[TOOL_CALLS]",),
    "deepseek_r1": ("<think>", "</think>"),
    "deepseek_v3": ("<think>", "</think>"),
}
"""The same for parsers of thoughts; deepseek_v3 starts without, but fails at a request that has it think."""


@dataclass(frozen=True)
class Parsers:
    """Names of vLLM's parsers; None where no format is recognised."""

    tools: str | None
    reasoning: str | None


def find_parsers(template: ChatTemplate, serving: Mapping[str, Any]) -> Parsers:
    """The parsers for what `template` writes; serving: what it is given unless a request says otherwise."""
    tools = _tool_parser(template, serving)
    return Parsers(tools, _reasoning_parser(template, serving, tools))


def _tool_parser(template: ChatTemplate, serving: Kwargs) -> str | None:
    for content in (None, ""):
        message = {"role": "assistant", "content": content, "tool_calls": [CALL]}
        text = _turn(template, message, serving, tools=True)
        if NAME in text and CITY in text:
            found = (parser for mark, parser in TOOL_MARKS if re.search(mark, text, re.DOTALL))
            return next(found, None)
    return None


def _reasoning_parser(template: ChatTemplate, serving: Kwargs, tools: str | None) -> str | None:
    message = {"role": "assistant", "content": ANSWER, "reasoning_content": THOUGHT, "thinking": THOUGHT}
    tried = [serving, *candidates(template, 2)]
    texts = (_turn(template, message, kwargs) for kwargs in tried)
    text = next((text for text in texts if THOUGHT in text and ANSWER in text), None)
    plain = [kwargs for kwargs in tried if _closed(_prompt(template, kwargs))]
    if text is None:
        # R1's template drops the thought that it has opened in the prompt itself.
        return "deepseek_r1" if _opened(_prompt(template, {})) and not plain else None
    before = text.partition(THOUGHT)[0]
    for mark, parser in THOUGHT_MARKS.items():
        if mark in before:
            return parser
    if "<think>" not in before and not _opened(_prompt(template, serving)):
        return None
    return _of_think(template, tools, plain)


def _of_think(template: ChatTemplate, tools: str | None, plain: list[Kwargs]) -> str | None:
    """The parser for `<think>`; plain: settings that close the thought in the prompt."""
    if tools == "glm45":
        return "glm45"
    if {} in plain:
        # The model thinks only when it is asked to, by one of the two names that this parser looks at.
        return "deepseek_v3" if {"enable_thinking", "thinking"} & template.variables else None
    if any("enable_thinking" in kwargs for kwargs in plain):
        return "qwen3"
    return "deepseek_r1" if not plain and _opened(_prompt(template, {})) else None


def _turn(template: ChatTemplate, message: ChatMessage, kwargs: Kwargs, *, tools: bool = False) -> str:
    """What stands behind the question in a finished turn; '' where the template refuses it."""
    try:
        text = template.render([ASKED, message], [TOOL] if tools else [], prompt=False, kwargs=kwargs)
    except TemplateRefusal:
        return ""
    return text.rpartition(ASK)[2]


def _prompt(template: ChatTemplate, kwargs: Kwargs) -> str:
    try:
        return template.render([ASKED], prompt=True, kwargs=kwargs).rpartition(ASK)[2]
    except TemplateRefusal:
        return ""


def _opened(prompt: str) -> bool:
    return opened_thought(prompt) is not None


def _closed(prompt: str) -> bool:
    """Whether the prompt has a thought that is over."""
    return "<think>" in prompt and closes_thought(prompt, "<think>")
