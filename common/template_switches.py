"""Settings of the names that a chat template asks for, to be tried.

Templates spell the switch for thinking in many ways (`enable_thinking`, `thinking`, `skip_think`,
`reasoning_effort` ...), so it is found by trying and not by its name.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from jinja2 import nodes

from common.template_rendering import CLOCK, ChatTemplate

Kwargs = Mapping[str, Any]
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


def candidates(template: ChatTemplate, most: int) -> Iterator[Kwargs]:
    """Nothing, then every setting of one name, then of two: true, false and texts it is compared with."""
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
    made_of = {name: {name} for name in values}
    for assign in template.tree.find_all(nodes.Assign):  # {% set effort = reasoning_effort or 'high' %}
        if isinstance(assign.target, nodes.Name):
            known = made_of.setdefault(assign.target.name, set())
            known |= {name for each in _names_in(assign.node) for name in made_of.get(each.name, ())}
    for compare in template.tree.find_all(nodes.Compare):
        sides = [compare.expr, *(operand.expr for operand in compare.ops)]
        texts = [text for side in sides for text in _texts_in(side)]
        compared = [name for side in sides for each in _names_in(side) for name in made_of.get(each.name, ())]
        for name in compared:
            values[name] += [text for text in texts if text not in values[name]]
    return values


def _texts_in(node: nodes.Node) -> Iterator[str]:
    """The constants in `node`, or in the list that it is (`effort in ['none', 'low']`)."""
    if isinstance(node, nodes.Const):  # Jinja makes a constant of a list of constants, too
        values = node.value if isinstance(node.value, list | tuple) else [node.value]
        yield from (value for value in values if isinstance(value, str))
    elif isinstance(node, nodes.List | nodes.Tuple):
        for item in node.items:
            yield from _texts_in(item)


def _names_in(node: nodes.Node) -> Iterator[nodes.Name]:
    if isinstance(node, nodes.Name):
        yield node
    yield from node.find_all(nodes.Name)
