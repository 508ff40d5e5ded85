"""Rendering a checkpoint's own chat template, as transformers does and as vLLM asks transformers to.

The Jinja environment and its extra names are those of transformers
(https://huggingface.co/docs/transformers/chat_templating_writing); what happens to messages before they are
rendered is what vLLM 0.32 does with a request (vllm/renderers/chat_utils.py and hf.py). Nothing here knows a
model: only the template's own text is looked at.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property, lru_cache
from typing import Any, Never

import jinja2
from jinja2 import meta, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from common.chat_message import ChatMessage
from common.engine_tools import call_as_engine_sees, tool_as_engine_sees

CLOCK = "strftime_now"
"""The function with which templates ask for today's date."""


class TemplateRefusal(Exception):
    """The template raises, or is no template; says why."""


class _Generation(Extension):
    """`{% generation %}` marks are read and mean nothing here."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it as an instance's

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise(message: str) -> Never:
    raise jinja2.TemplateError(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    made.filters["tojson"] = _tojson
    made.globals["raise_exception"] = _raise
    made.globals[CLOCK] = lambda form: datetime.now().strftime(form)
    return made


@lru_cache(maxsize=64)
def _compiled(text: str) -> jinja2.Template:
    return _environment().from_string(text)


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template and the names that a tokenizer gives it."""

    text: str
    special_tokens: Mapping[str, str] = field(default_factory=dict)
    """`bos_token`, `eos_token` and the like, as the tokenizer's `special_tokens_map` has them."""

    @cached_property
    def tree(self) -> nodes.Template:
        """Raises TemplateRefusal for a text that is no template."""
        try:
            return _environment().parse(self.text)
        except jinja2.TemplateError as error:
            raise TemplateRefusal(f"it is not valid Jinja: {error}") from error

    @cached_property
    def variables(self) -> frozenset[str]:
        """Names that whoever renders may set."""
        return frozenset(meta.find_undeclared_variables(self.tree)) - set(_environment().globals)

    @cached_property
    def dated(self) -> bool:
        """Whether it asks for today's date."""
        return any(name.name == CLOCK for name in self.tree.find_all(nodes.Name))

    @cached_property
    def takes_parts(self) -> bool:
        """Whether vLLM hands it contents as lists of parts: where it has a loop over a message's content."""
        return any(True for _ in _loops_over_content(self.tree))

    def unknown_variables(self) -> list[str]:
        """Names that it writes out and never asks for, and that nobody gives it."""
        given = {"messages", "tools", "documents", "add_generation_prompt", *self.special_tokens}
        given |= {"bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"}
        given |= {name.name for name in self.tree.find_all(nodes.Name) if name.ctx == "store"}
        return sorted((_written_names(self.tree) & self.variables) - _asked_for(self.tree) - given)

    def render(
        self,
        messages: Sequence[ChatMessage],
        tools: Sequence[Mapping[str, Any]] = (),
        *,
        prompt: bool,
        day: date | None = None,
        kwargs: Mapping[str, Any] | None = None,
    ) -> str:
        """The text of a conversation; `prompt` asks for the beginning of the answer behind it.

        day: what the template takes for today. Raises TemplateRefusal with the template's own reason.
        """
        names: dict[str, Any] = {**self.special_tokens, **(kwargs or {})}
        if day is not None:
            names[CLOCK] = lambda form: datetime(day.year, day.month, day.day).strftime(form)
        try:
            return _compiled(self.text).render(
                messages=self.as_engine_sees(messages),
                tools=list(map(tool_as_engine_sees, tools)) or None,
                documents=None,
                add_generation_prompt=prompt,
                **names,
            )
        except Exception as error:  # a template is a program, and this one is anybody's
            raise TemplateRefusal(" ".join(str(error).split()) or type(error).__name__) from error

    def as_engine_sees(self, messages: Sequence[ChatMessage]) -> list[ChatMessage]:
        """Messages in the form in which vLLM hands a request's to the template."""
        seen = [self._as_engine_sees(message) for message in messages]
        if not any(message["role"] == "developer" for message in seen) or self._knows_developer:
            return seen
        for message in seen:
            if message["role"] == "developer":
                message["role"] = "system"
        return _one_system_message(seen)

    @cached_property
    def _knows_developer(self) -> bool:
        return '"developer"' in self.text or "'developer'" in self.text

    def _as_engine_sees(self, message: ChatMessage) -> ChatMessage:
        seen = {key: value for key, value in message.items() if value is not None}
        content = seen.get("content")
        if isinstance(content, str) and self.takes_parts and seen["role"] != "tool":
            seen["content"] = [{"type": "text", "text": content}]
        elif content is None:
            seen["content"] = [] if self.takes_parts else ""
        if calls := seen.get("tool_calls"):
            seen["tool_calls"] = list(map(call_as_engine_sees, calls))
        if reasoning := seen.get("reasoning_content"):
            seen["reasoning"] = reasoning
        return seen


def _one_system_message(messages: list[ChatMessage]) -> list[ChatMessage]:
    """vLLM joins them where a developer's message has become one."""
    first = [message for message in messages if message["role"] == "system"]
    if len(first) == 1 and messages[0] is first[0]:
        return messages
    texts = [
        "\n".join(part["text"] for part in content) if isinstance(content, list) else content
        for content in (message["content"] for message in first)
    ]
    joined = {"role": "system", "content": "\n\n".join(text for text in texts if text)}
    return [joined, *(message for message in messages if message["role"] != "system")]


def _loops_over_content(tree: nodes.Template) -> Iterator[nodes.For]:
    """Loops over `message.content`, `content`, or a macro's argument that is one: vLLM's rule."""
    loops = list(tree.find_all(nodes.For))
    lists = _aliases(tree, "messages")
    messages = {
        loop.target.name
        for loop in loops
        if isinstance(loop.target, nodes.Name) and any(_is(loop.iter, name) for name in lists)
    }

    def is_content(node: nodes.Node) -> bool:
        return any(_is(node, name, "content") for name in messages)

    in_macros: dict[int, set[str]] = {}
    for macro in tree.find_all(nodes.Macro):
        given = _content_arguments(tree, macro, is_content)
        in_macros |= {id(loop): given for loop in macro.find_all(nodes.For)}
    for loop in loops:
        name = loop.iter.name if isinstance(loop.iter, nodes.Name) else None
        if is_content(loop.iter) or (name is not None and name in in_macros.get(id(loop), {"content"})):
            yield loop


def _content_arguments(tree: nodes.Template, macro: nodes.Macro, is_content: Any) -> set[str]:
    names = [argument.name for argument in macro.args]
    found = set()
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name == macro.name:
            found |= {name for name, value in zip(names, call.args, strict=False) if is_content(value)}
            found |= {pair.key for pair in call.kwargs if pair.key in names and is_content(pair.value)}
    return found


def _aliases(tree: nodes.Template, name: str) -> set[str]:
    """`name` and the variables that are set to it or to a part of it."""
    found, fresh = {name}, [name]
    while fresh:
        known = fresh.pop()
        for assign in tree.find_all(nodes.Assign):
            target = assign.target
            if isinstance(target, nodes.Name) and target.name not in found and _is(assign.node, known):
                found.add(target.name)
                fresh.append(target.name)
    return found


def _is(node: nodes.Node | None, name: str, key: str | None = None) -> bool:
    """Whether `node` is the variable (or its field `key`), filtered, tested or sliced."""
    if isinstance(node, nodes.Filter | nodes.Test):
        return _is(node.node, name, key)
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
        return _is(node.node, name, key)
    if key is None:
        return isinstance(node, nodes.Name) and node.ctx == "load" and node.name == name
    if isinstance(node, nodes.Getitem):
        return isinstance(node.arg, nodes.Const) and node.arg.value == key and _is_name(node.node, name)
    return isinstance(node, nodes.Getattr) and node.attr == key and _is_name(node.node, name)


def _is_name(node: nodes.Node, name: str) -> bool:
    return isinstance(node, nodes.Name) and node.ctx == "load" and node.name == name


def _written_names(tree: nodes.Template) -> set[str]:
    """Variables that stand in `{{ }}` by themselves, or as parts of a sum."""
    found = set()

    def visit(node: nodes.Node) -> None:
        if isinstance(node, nodes.Name) and node.ctx == "load":
            found.add(node.name)
        elif isinstance(node, nodes.Filter) and node.name not in ("default", "d") and node.node is not None:
            visit(node.node)
        elif isinstance(node, nodes.Add):
            visit(node.left)
            visit(node.right)

    for output in tree.find_all(nodes.Output):
        for node in output.nodes:
            visit(node)
    return found


def _asked_for(tree: nodes.Template) -> set[str]:
    """Variables whose presence or truth the template looks at somewhere."""
    asked: list[nodes.Node] = [test.node for test in tree.find_all(nodes.Test)]
    asked += [one.node for one in tree.find_all(nodes.Filter) if one.name in ("default", "d") and one.node]
    tests: list[nodes.Node] = [branch.test for branch in tree.find_all(nodes.If)]
    tests += [branch.test for branch in tree.find_all(nodes.CondExpr)]
    for test in tests:
        asked += [test, *test.find_all(nodes.Name)]
    return {node.name for node in asked if isinstance(node, nodes.Name)}
