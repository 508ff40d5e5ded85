"""Whole conversations in one text, as a prompt template wrote them: ChatML, Llama 2 and 3, Gemma, Phi,
Alpaca's and KoAlpaca's prompts, Vicuna."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from finetune.data.convert.fields import (
    ConvertOptions,
    Record,
    SourceMessage,
    UnusableRecord,
    meta,
    note_left_out,
    peek,
    string,
)
from finetune.data.convert.prompts import before, conversation_row
from finetune.data.convert.tool_turns import answer, merged, results
from finetune.data.convert.turns import SPEAKERS

FIELDS = ("text", "chat", "conversation", "conversations", "dialogue", "prompt", "content")


@dataclass(frozen=True)
class Style:
    """One way of writing a conversation as a text."""

    mark: re.Pattern[str]
    """What begins a turn; its group says who speaks."""
    ends: re.Pattern[str] | None = None
    """What ends a turn."""


_WHO = "system|user|assistant|developer|tool|model"
_SAID = {
    "instruction": "user",
    "명령어": "user",
    "명령": "user",
    "지시": "user",
    "응답": "assistant",
    "model": "assistant",
}
_INPUTS = ("input", "입력", "맥락")
_STYLES = (
    Style(re.compile(rf"<\|im_start\|>({_WHO})\n?"), re.compile(r"<\|im_end\|>")),
    Style(
        re.compile(rf"<\|start_header_id\|>({_WHO})<\|end_header_id\|>"),
        re.compile(r"<\|eot_id\|>|<\|end_of_text\|>"),
    ),
    Style(re.compile(rf"<start_of_turn>({_WHO})\n?"), re.compile(r"<end_of_turn>|<eos>")),
    Style(re.compile(rf"<\|({_WHO})\|>\n?"), re.compile(r"<\|end\|>|</s>|<\|endoftext\|>")),
    Style(
        re.compile(
            r"###\s*(Instruction|Input|Response|명령어|명령|지시|질문|입력|맥락|응답|답변)(?:\([^)]*\))?\s*:"
        ),
        re.compile(r"</s>|<\|endoftext\|>|### End\s*\Z"),
    ),
    Style(
        re.compile(r"(?:\A|\n|</s>|(?<=\s))(USER|ASSISTANT|FUNCTION RESPONSE|Human|Assistant)\s*:"),
        re.compile(r"</s>|<\|endoftext\|>"),
    ),
)
_LLAMA_2 = re.compile(r"\[INST\](.*?)\[/INST\](.*?)(?=(?:<s>\s*)?\[INST\]|\Z)", re.DOTALL)
_LLAMA_2_SYSTEM = re.compile(r"<<SYS>>(.*?)<</SYS>>", re.DOTALL)
_BEGIN = re.compile(r"<s>|<\|begin_of_text\|>|<bos>")
_PREAMBLE = re.compile(r"Below is an instruction|아래는 작업을 설명하는")


def is_marked(record: Record) -> bool:
    return _field(record) is not None


def rows(record: Record, options: ConvertOptions) -> Iterator[dict[str, object]]:
    """One row for the conversation that the text holds."""
    name = _field(record)
    if name is None:
        raise UnusableRecord("there is no text with the marks of a prompt template", broken=True)
    messages, context, preamble = split_text(string(record, name))
    if preamble:
        note_left_out(record, "preamble of a prompt template")
    yield conversation_row(before(record, messages), record, meta(options, record), context)


def split_text(text: str) -> tuple[list[SourceMessage], str, bool]:
    """(messages, context of the last question, whether a template's own first sentences were left out).

    No messages where no known template wrote the text.
    """
    text = _BEGIN.sub("", text)
    if found := _LLAMA_2.findall(text):
        return _llama_2(found), "", False
    for style in _STYLES:
        parts = style.mark.split(text)
        who = [_role(name) for name in parts[1::2]]
        if "user" in who and "assistant" in who:
            return _turns(parts, style)
    return [], "", False


def _field(record: Record) -> str | None:
    for name in FIELDS:
        value = peek(record, name)
        if isinstance(value, str) and len(value) > 10 and split_text(value)[0]:
            return name
    return None


def _role(name: str) -> str:
    name = name.lower()
    if name in _INPUTS:
        return "context"
    return _SAID.get(name) or SPEAKERS.get(name) or "tool"


def _turns(parts: list[str], style: Style) -> tuple[list[SourceMessage], str, bool]:
    first = parts[0].strip()
    preamble = bool(_PREAMBLE.match(first))
    messages = [SourceMessage("system", first)] if first and not preamble else []
    context = ""
    for name, said in zip(parts[1::2], parts[2::2], strict=True):
        text = (style.ends.sub("", said) if style.ends else said).strip()
        role = _role(name)
        if role == "context":
            context = text
        elif role == "tool":
            messages += results(text)
        elif role == "assistant":
            messages.append(answer(text))
        else:
            messages.append(SourceMessage(SPEAKERS[role], text))
    return merged(messages), context, preamble


def _llama_2(found: list[tuple[str, str]]) -> list[SourceMessage]:
    messages: list[SourceMessage] = []
    for question, said in found:
        system = _LLAMA_2_SYSTEM.search(question)
        if system:
            messages.append(SourceMessage("system", system.group(1).strip()))
        messages.append(SourceMessage("user", _LLAMA_2_SYSTEM.sub("", question).strip()))
        messages.append(SourceMessage("assistant", said.replace("</s>", "").strip()))
    return messages
