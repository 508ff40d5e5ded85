"""Tool calls, their results, thoughts and tools in the spellings of published data, as a row holds them.

- OpenAI: `tool_calls: [{id, function: {name, arguments}}]`, `function_call`, turns by `tool` and `function`
- LLaMA-Factory's ShareGPT: turns by `function_call` (JSON) and `observation`, a field `tools` with JSON
- Hermes: `<tool_call>`, `<tool_response>` and `<tools>` within the texts
- Glaive: `<functioncall>`, `FUNCTION RESPONSE:` and a system prompt that lists functions
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence

from common.thought_marks import split_thought
from finetune.data.convert.fields import SourceMessage, UnusableRecord

CALLERS = frozenset({"function_call", "function-call", "tool_call", "tool_calls", "tool_use"})
"""Speakers whose turn is a call, as JSON."""
RESULTS = frozenset(
    {
        *("tool", "tools", "function", "observation", "ipython", "function_response", "function-response"),
        *("tool_response", "tool_result", "function_call_output", "environment", "code_interpreter"),
        "function response",
    }
)
"""Speakers whose turn is a call's result."""
THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thought")
"""Fields of an answer's turn."""
_CALL = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)
_GLAIVE_CALL = re.compile(r"<functioncall>\s*(\{.*\})\s*\Z", re.DOTALL)
_RESPONSE = re.compile(r"<tool_response>\s*(.*?)\s*</tool_response>", re.DOTALL)
_TOOLS = re.compile(r"<tools>\s*([\[{].*?)\s*</tools>", re.DOTALL)
_GLAIVE_TOOLS = re.compile(
    r"\A(?:SYSTEM:\s*)?You are a helpful assistant with access to the following functions"
)
_HERMES = re.compile(r"\AYou are a function calling AI model")


def answer(text: str, learnt: bool = True, calls: Sequence[object] = (), thought: str = "") -> SourceMessage:
    """An assistant's turn: thoughts and calls that stand within its text are taken out of it.

    calls: in OpenAI's form, or as JSON. Raises UnusableRecord for a call that cannot be read.
    """
    if not thought:
        thought, text = split_thought(text)
    within = _CALL.findall(text)
    text = _CALL.sub("", text)
    if found := _GLAIVE_CALL.search(text):
        within.append(found[1])
        text = text[: found.start()]
    made = [call for given in (*calls, *within) for call in calls_of(given)]
    return SourceMessage("assistant", text.strip(), learnt, thought.strip(), tuple(made))


def results(text: str, call_id: str = "", name: str = "") -> list[SourceMessage]:
    """A tool's turn; Hermes' holds several results at times."""
    parts = _RESPONSE.findall(text) or [text]
    alone = len(parts) == 1
    return [
        SourceMessage("tool", part.strip(), call_id=call_id if alone else "", name=name if alone else "")
        for part in parts
    ]


def calls_of(value: object) -> Iterator[dict[str, object]]:
    """Calls `{name, arguments, id}` of one in any of the spellings, or of a list of them. Raises
    UnusableRecord."""
    value = _decoded(value)
    if isinstance(value, list):
        for one in value:
            yield from calls_of(one)
        return
    function = value.get("function", value) if isinstance(value, dict) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise UnusableRecord("a tool call has no name")
    given = function.get("arguments", function.get("parameters"))
    arguments = {} if given in (None, "") else _decoded(given)
    if not isinstance(arguments, dict):
        raise UnusableRecord(f"the arguments of the tool call {function['name']!r} are not a JSON object")
    call: dict[str, object] = {"name": function["name"]}
    call |= {"arguments": arguments} if arguments else {}
    call_id = value.get("id") if isinstance(value, dict) else None
    yield call | ({"id": call_id} if isinstance(call_id, str) and call_id else {})


def tools_of(value: object) -> list[dict[str, object]]:
    """Tools in OpenAI's form. Raises UnusableRecord for what is none."""
    value = _decoded(value)
    tools: list[dict[str, object]] = []
    for one in value if isinstance(value, list) else [value]:
        one = _decoded(one)
        function = one.get("function", one) if isinstance(one, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise UnusableRecord("a tool has no name")
        tools.append({"type": "function", "function": function})
    return tools


def tools_in_system(text: str) -> tuple[str, list[dict[str, object]]]:
    """(the system prompt without the tools, the tools) that a prompt of Hermes' or Glaive's form lists.

    A prompt that is the form's own is left out: the model's template has another for the same purpose.
    """
    if found := _TOOLS.search(text):
        listed = found[1]
        rest = "" if _HERMES.match(text) else f"{text[: found.start()]}{text[found.end() :]}".strip()
        return rest, tools_of(listed) if listed.startswith("[") else [
            tool for one in _objects(listed) for tool in tools_of(one)
        ]
    if found := _GLAIVE_TOOLS.match(text):
        return "", [tool for one in _objects(text[found.end() :]) for tool in tools_of(one)]
    return text, []


def merged(messages: Sequence[SourceMessage]) -> list[SourceMessage]:
    """Turns of the assistant that follow each other, the later with calls, as one."""
    made: list[SourceMessage] = []
    for message in messages:
        last = made[-1] if made else None
        if last is not None and last.role == message.role == "assistant" and message.calls:
            text = "\n\n".join(filter(None, (last.content, message.content)))
            thought = "\n\n".join(filter(None, (last.reasoning, message.reasoning)))
            both = last.learnt and message.learnt
            made[-1] = SourceMessage("assistant", text, both, thought, (*last.calls, *message.calls))
        else:
            made.append(message)
    return made


def _objects(text: str) -> Iterator[object]:
    """The JSON objects that stand in a text, one behind the other."""
    decoder, place = json.JSONDecoder(), text.find("{")
    while place >= 0:
        try:
            value, place = decoder.raw_decode(text, place)
        except ValueError as error:
            raise UnusableRecord("a tool in the system prompt is not valid JSON") from error
        yield value
        place = text.find("{", place)


_GLAIVE_ARGUMENTS = re.compile(r"\"arguments\":\s*'(.*)'\s*\}\s*\Z", re.DOTALL)


def _decoded(value: object) -> object:
    """What JSON, JSON as Glaive writes it ('{...}' in single quotes), or a Python literal stands for."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    try:
        return json.loads(text, strict=False)
    except ValueError:
        pass
    if found := _GLAIVE_ARGUMENTS.search(text):
        return _decoded(f'{text[: found.start()]}"arguments": {found[1]}}}')
    try:
        return ast.literal_eval(text)  # literal_eval takes literals alone: nothing is executed
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        raise UnusableRecord("a tool call is not valid JSON") from None
