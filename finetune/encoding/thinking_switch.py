"""Which names a chat template has to be given so that thoughts are written, or so that none is.

Templates spell the switch in many ways (`enable_thinking`, `thinking`, `skip_think`, `reasoning_effort` ...).
It is found by trying: every name that the template asks for, with true, false and the texts that it is
compared with, until a small conversation comes out as wanted.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from jinja2 import nodes

from common.template_rendering import CLOCK, ChatTemplate, Message
from finetune.encoding.own_template import Answer, Conversation, OwnTemplate, Refused, answer_at

Kwargs = Mapping[str, Any]
ASKED: Message = {"role": "user", "content": "문을 열까요?"}
SAID = "네, 열어 주세요."
THOUGHT = "방이 덥다고 했다."
_NOT_SWITCHES = frozenset(
    {
        "messages",
        "tools",
        "documents",
        "add_generation_prompt",
        "continue_final_message",
        CLOCK,
        "date_string",
    }
)


def plain_kwargs(own: OwnTemplate) -> Kwargs | None:
    """What has to be given so that an answer without a thought is the answer alone, where that can be had;
    None where no such answer can be rendered."""
    answers = {}
    for kwargs in _candidates(own.template, 1):
        answer = _answer(own, {"role": "assistant", "content": SAID}, kwargs)
        if answer is not None and answer.text.lstrip().startswith(SAID):
            return kwargs
        answers[_key(kwargs)] = answer
    return {} if answers[_key({})] is not None else None


def thinking_kwargs(own: OwnTemplate) -> Kwargs | None:
    """What has to be given so that an answer keeps its thought; None where nothing does that."""
    message: Message = {"role": "assistant", "content": SAID, "reasoning_content": THOUGHT}
    tried = _candidates(own.template, 2)
    return next((kwargs for kwargs in tried if _answer(own, message, kwargs) is not None), None)


def _answer(own: OwnTemplate, message: Message, kwargs: Kwargs) -> Answer | None:
    try:
        return answer_at(own, Conversation([ASKED, message], (), kwargs), 1)
    except Refused:
        return None


def _candidates(template: ChatTemplate, most: int) -> Iterator[Kwargs]:
    """Nothing, then every setting of one name, then of two ..."""
    yield {}
    settings = [(name, value) for name, values in _switches(template).items() for value in values]
    for number in range(1, most + 1):
        for chosen in combinations(settings, number):
            if len({name for name, _value in chosen}) == number:
                yield dict(chosen)


def _switches(template: ChatTemplate) -> dict[str, list[Any]]:
    """Names that the template asks for, with the values to try."""
    asked = template.variables - _NOT_SWITCHES - set(template.special_tokens)
    stored = {name.name for name in template.tree.find_all(nodes.Name) if name.ctx == "store"}
    for assign in template.tree.find_all(
        nodes.Assign
    ):  # {% set thinking = thinking if thinking is defined %}
        target = assign.target
        if isinstance(target, nodes.Name) and any(n.name == target.name for n in _names_in(assign.node)):
            stored.discard(target.name)
    names = {name for name in asked - stored if not name.endswith("_token")}
    values: dict[str, list[Any]] = {name: [False, True] for name in sorted(names)}
    for compare in template.tree.find_all(nodes.Compare):
        sides = [compare.expr, *(operand.expr for operand in compare.ops)]
        constants = [side.value for side in sides if isinstance(side, nodes.Const)]
        for side in sides:
            if isinstance(side, nodes.Name) and side.name in values:
                values[side.name] += [one for one in constants if isinstance(one, str)]
    return values


def _names_in(node: nodes.Node) -> Iterator[nodes.Name]:
    if isinstance(node, nodes.Name):
        yield node
    yield from node.find_all(nodes.Name)


def _key(kwargs: Kwargs) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(kwargs.items()))
